/* values.c - sizes, offsets and values of mpi.h that binaries built elsewhere contain, checked at
 * run time (a handle is a pointer, so not a constant expression). Valid C99 and C++11; calls no MPI
 * function, so it needs the header alone. Exit status: 0 all right, 1 after printing what differs.
 *
 * One or more of each kind and every value at the edge of its range of codes: not a second copy of
 * the standard's list.
 */
#include <mpi.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static int differences = 0;

static void expect(const char* name, long long is, long long should) {
  if (is != should) {
    printf("%s is %lld, the ABI says %lld\n", name, is, should);
    ++differences;
  }
}

#define VALUE(name, should) expect(#name, (long long)(intptr_t)(name), should)
#define SIZE(type, should) expect("sizeof(" #type ")", (long long)sizeof(type), should)
#define FIELD(field, should) \
  expect("the offset of MPI_Status." #field, (long long)offsetof(MPI_Status, field), should)

static void types(void) {
  SIZE(MPI_Aint, sizeof(void*));
  SIZE(MPI_Offset, 8);
  SIZE(MPI_Count, 8);
  SIZE(MPI_Status, 32);
  SIZE(MPI_Comm, sizeof(void*));
  SIZE(MPI_Datatype, sizeof(void*));
  SIZE(MPI_Request, sizeof(void*));
  SIZE(MPI_T_event_instance, sizeof(void*));
  FIELD(MPI_SOURCE, 0);
  FIELD(MPI_TAG, 4);
  FIELD(MPI_ERROR, 8);
}

static void handles(void) {
  VALUE(MPI_OP_NULL, 0x20);
  VALUE(MPI_SUM, 0x21);
  VALUE(MPI_BAND, 0x28);
  VALUE(MPI_LAND, 0x30);
  VALUE(MPI_REPLACE, 0x3c);
  VALUE(MPI_NO_OP, 0x3d);
  VALUE(MPI_COMM_NULL, 0x100);
  VALUE(MPI_COMM_WORLD, 0x101);
  VALUE(MPI_COMM_SELF, 0x102);
  VALUE(MPI_GROUP_NULL, 0x108);
  VALUE(MPI_GROUP_EMPTY, 0x109);
  VALUE(MPI_WIN_NULL, 0x110);
  VALUE(MPI_FILE_NULL, 0x118);
  VALUE(MPI_SESSION_NULL, 0x120);
  VALUE(MPI_MESSAGE_NULL, 0x128);
  VALUE(MPI_MESSAGE_NO_PROC, 0x129);
  VALUE(MPI_INFO_NULL, 0x130);
  VALUE(MPI_INFO_ENV, 0x131);
  VALUE(MPI_ERRHANDLER_NULL, 0x140);
  VALUE(MPI_ERRORS_ARE_FATAL, 0x141);
  VALUE(MPI_ERRORS_ABORT, 0x142);
  VALUE(MPI_ERRORS_RETURN, 0x143);
  VALUE(MPI_REQUEST_NULL, 0x180);
}

static void datatypes(void) {
  VALUE(MPI_DATATYPE_NULL, 0x200);
  VALUE(MPI_AINT, 0x201);
  VALUE(MPI_COUNT, 0x202);
  VALUE(MPI_OFFSET, 0x203);
  VALUE(MPI_PACKED, 0x207);
  VALUE(MPI_INT, 0x209);
  VALUE(MPI_LONG, 0x20a);
  VALUE(MPI_FLOAT, 0x210);
  VALUE(MPI_DOUBLE, 0x214);
  VALUE(MPI_C_DOUBLE_COMPLEX, 0x216);
  VALUE(MPI_DOUBLE_INT, 0x229);
  VALUE(MPI_CHAR, 0x243);
  VALUE(MPI_BYTE, 0x247);
  VALUE(MPI_INT32_T, 0x250);
  VALUE(MPI_INT64_T, 0x258);
  VALUE(MPI_UINT64_T, 0x259);
}

static void integers(void) {
  VALUE(MPI_SUCCESS, 0);
  VALUE(MPI_ERR_BUFFER, 1);
  VALUE(MPI_ERR_RANK, 6);
  VALUE(MPI_ERR_TRUNCATE, 15);
  VALUE(MPI_ERR_OTHER, 16);
  VALUE(MPI_ERR_PENDING, 18);
  VALUE(MPI_ERR_IN_STATUS, 19);
  VALUE(MPI_ERR_LASTCODE, 16383);
  VALUE(MPI_ANY_SOURCE, -1);
  VALUE(MPI_ANY_TAG, -2);
  VALUE(MPI_PROC_NULL, -3);
  VALUE(MPI_ROOT, -4);
  VALUE(MPI_UNDEFINED, -32766);
  VALUE(MPI_THREAD_SINGLE, 0);
  VALUE(MPI_THREAD_MULTIPLE, 4096);
  VALUE(MPI_IDENT, 201);
  VALUE(MPI_UNEQUAL, 204);
  VALUE(MPI_COMM_TYPE_SHARED, 221);
  VALUE(MPI_LOCK_SHARED, 302);
  VALUE(MPI_TAG_UB, 501);
  VALUE(MPI_UNIVERSE_SIZE, 507);
  VALUE(MPI_KEYVAL_INVALID, 0);
  VALUE(MPI_BSEND_OVERHEAD, 512);
  VALUE(MPI_MAX_ERROR_STRING, 512);
  VALUE(MPI_MAX_PORT_NAME, 1024);
  VALUE(MPI_MAX_INFO_VAL, 1024);
  VALUE(MPI_MAX_LIBRARY_VERSION_STRING, 8192);
  VALUE(MPI_MAX_PROCESSOR_NAME, 256);
}

static void addresses(void) {
  VALUE(MPI_BOTTOM, 0);
  VALUE(MPI_IN_PLACE, 1);
  VALUE(MPI_BUFFER_AUTOMATIC, 2);
  VALUE(MPI_STATUS_IGNORE, 0);
  VALUE(MPI_STATUSES_IGNORE, 0);
  VALUE(MPI_COMM_NULL_COPY_FN, 0);
  VALUE(MPI_COMM_DUP_FN, 1);
}

#if MPI_VERSION < 5 || MPI_ABI_VERSION != 1 || MPI_ABI_SUBVERSION != 0
#error "the version macros must work in the preprocessor and say MPI 5, ABI 1.0"
#endif

int main(void) {
  types();
  handles();
  datatypes();
  integers();
  addresses();
  return differences == 0 ? 0 : 1;
}
