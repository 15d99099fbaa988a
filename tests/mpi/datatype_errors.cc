// Wrong arguments of the datatype functions: the right error class, a text that names the call, and
// a process that goes on (MPI-5.0 chapter 5).
#include <climits>
#include <functional>

#include "check.h"

namespace {

struct Wrong {
  const char* call;
  const char* what;
  std::vector<int> classes;
  std::function<int()> run;
  bool only_tern = false;  // Accepted by MPICH 4.0 or Open MPI 4.1, or crashes them.
};

MPI_Datatype made, uncommitted, freed;
int number, place, buffer[16], packed[16], one[] = {1, 1}, negative[] = {1, -1};
MPI_Aint address, where[] = {0, 8};
MPI_Datatype types[] = {MPI_INT, MPI_DATATYPE_NULL};
MPI_Status status;

MPI_Datatype stale() {
  MPI_Datatype type = MPI_DATATYPE_NULL, copy;
  MPI_Type_contiguous(2, MPI_INT, &type);
  copy = type;
  MPI_Type_free(&type);
  return copy;
}

// The tables are one case per line.
// clang-format off

std::vector<Wrong> constructors() {
  return {
      {"MPI_Type_contiguous", "count -1", {MPI_ERR_COUNT}, [] { return MPI_Type_contiguous(-1, MPI_INT, &made); }},
      {"MPI_Type_contiguous", "null type", {MPI_ERR_TYPE}, [] { return MPI_Type_contiguous(1, MPI_DATATYPE_NULL, &made); }},
      {"MPI_Type_contiguous", "freed type", {MPI_ERR_TYPE}, [] { return MPI_Type_contiguous(1, freed, &made); }, true},
      {"MPI_Type_contiguous", "null result", {MPI_ERR_ARG}, [] { return MPI_Type_contiguous(1, MPI_INT, nullptr); }, true},
      {"MPI_Type_vector", "block length -1", {MPI_ERR_COUNT, MPI_ERR_ARG}, [] { return MPI_Type_vector(1, -1, 1, MPI_INT, &made); }},
      {"MPI_Type_vector", "count -1", {MPI_ERR_COUNT}, [] { return MPI_Type_vector(-1, 1, 1, MPI_INT, &made); }},
      {"MPI_Type_create_hvector", "count -1", {MPI_ERR_COUNT}, [] { return MPI_Type_create_hvector(-1, 1, 1, MPI_INT, &made); }},
      {"MPI_Type_indexed", "a length of -1", {MPI_ERR_COUNT, MPI_ERR_ARG}, [] { return MPI_Type_indexed(2, negative, one, MPI_INT, &made); }, true},
      {"MPI_Type_indexed", "no lengths", {MPI_ERR_ARG}, [] { return MPI_Type_indexed(2, nullptr, one, MPI_INT, &made); }},
      {"MPI_Type_indexed", "no displacements", {MPI_ERR_ARG}, [] { return MPI_Type_indexed(2, one, nullptr, MPI_INT, &made); }},
      {"MPI_Type_create_hindexed", "a length of -1", {MPI_ERR_COUNT, MPI_ERR_ARG}, [] { return MPI_Type_create_hindexed(2, negative, where, MPI_INT, &made); }, true},
      {"MPI_Type_create_indexed_block", "length -1", {MPI_ERR_COUNT, MPI_ERR_ARG}, [] { return MPI_Type_create_indexed_block(2, -1, one, MPI_INT, &made); }, true},
      {"MPI_Type_create_hindexed_block", "count -1", {MPI_ERR_COUNT}, [] { return MPI_Type_create_hindexed_block(-1, 1, where, MPI_INT, &made); }},
      {"MPI_Type_create_struct", "a null type", {MPI_ERR_TYPE}, [] { return MPI_Type_create_struct(2, one, where, types, &made); }},
      {"MPI_Type_create_struct", "no types", {MPI_ERR_ARG}, [] { return MPI_Type_create_struct(2, one, where, nullptr, &made); }},
      {"MPI_Type_create_resized", "null type", {MPI_ERR_TYPE}, [] { return MPI_Type_create_resized(MPI_DATATYPE_NULL, 0, 4, &made); }},
      {"MPI_Type_dup", "freed type", {MPI_ERR_TYPE}, [] { return MPI_Type_dup(freed, &made); }, true},
      {"MPI_Type_create_hvector", "beyond 64 bits", {MPI_ERR_ARG}, [] { return MPI_Type_create_hvector(INT_MAX, 1, PTRDIFF_MAX / 2, MPI_INT, &made); }, true},
      {"MPI_Type_create_hindexed", "beyond 64 bits", {MPI_ERR_ARG}, [] { MPI_Aint far[] = {PTRDIFF_MIN, PTRDIFF_MAX}; return MPI_Type_create_hindexed(2, one, far, MPI_INT, &made); }, true},
      {"MPI_Type_create_subarray", "no dimensions", {MPI_ERR_ARG, MPI_ERR_DIMS}, [] { return MPI_Type_create_subarray(0, one, one, one, MPI_ORDER_C, MPI_INT, &made); }, true},
      {"MPI_Type_create_subarray", "order", {MPI_ERR_ARG}, [] { int s[] = {2}, p[] = {1}, b[] = {0}; return MPI_Type_create_subarray(1, s, p, b, 77, MPI_INT, &made); }},
      {"MPI_Type_create_subarray", "part > whole", {MPI_ERR_ARG}, [] { int s[] = {2}, p[] = {3}, b[] = {0}; return MPI_Type_create_subarray(1, s, p, b, MPI_ORDER_C, MPI_INT, &made); }, true},
      {"MPI_Type_create_subarray", "part of 0", {MPI_ERR_ARG}, [] { int s[] = {2}, p[] = {0}, b[] = {0}; return MPI_Type_create_subarray(1, s, p, b, MPI_ORDER_C, MPI_INT, &made); }, true},
      {"MPI_Type_create_subarray", "start too far", {MPI_ERR_ARG}, [] { int s[] = {2}, p[] = {1}, b[] = {2}; return MPI_Type_create_subarray(1, s, p, b, MPI_ORDER_C, MPI_INT, &made); }, true},
      {"MPI_Type_create_subarray", "start -1", {MPI_ERR_ARG, MPI_ERR_COUNT}, [] { int s[] = {2}, p[] = {1}, b[] = {-1}; return MPI_Type_create_subarray(1, s, p, b, MPI_ORDER_C, MPI_INT, &made); }},
  };
}

int darray(int size, int rank, int length, int distribution, int argument, int places, int order) {
  return MPI_Type_create_darray(size, rank, 1, &length, &distribution, &argument, &places, order, MPI_INT, &made);
}

std::vector<Wrong> arrays() {
  constexpr int kBlock = MPI_DISTRIBUTE_BLOCK, kAny = MPI_DISTRIBUTE_DFLT_DARG, kC = MPI_ORDER_C;
  const char* name = "MPI_Type_create_darray";
  return {
      {name, "size 0", {MPI_ERR_ARG}, [] { return darray(0, 0, 4, kBlock, kAny, 1, kC); }, true},
      {name, "rank = size", {MPI_ERR_ARG, MPI_ERR_RANK}, [] { return darray(2, 2, 4, kBlock, kAny, 2, kC); }, true},
      {name, "length 0", {MPI_ERR_ARG}, [] { return darray(2, 0, 0, kBlock, kAny, 2, kC); }, true},
      {name, "distribution", {MPI_ERR_ARG}, [] { return darray(2, 0, 4, 77, kAny, 2, kC); }, true},
      {name, "argument 0", {MPI_ERR_ARG}, [] { return darray(2, 0, 4, kBlock, 0, 2, kC); }, true},
      {name, "blocks too small", {MPI_ERR_ARG}, [] { return darray(2, 0, 4, kBlock, 1, 2, kC); }, true},
      {name, "several places of none", {MPI_ERR_ARG}, [] { return darray(2, 0, 4, MPI_DISTRIBUTE_NONE, kAny, 2, kC); }, true},
      {name, "grid of another size", {MPI_ERR_ARG}, [] { return darray(3, 0, 4, kBlock, kAny, 2, kC); }, true},
      {name, "order", {MPI_ERR_ARG}, [] { return darray(2, 0, 4, kBlock, kAny, 2, 77); }, true},
  };
}

std::vector<Wrong> uses() {
  return {
      {"MPI_Type_commit", "null type", {MPI_ERR_TYPE}, [] { MPI_Datatype none = MPI_DATATYPE_NULL; return MPI_Type_commit(&none); }},
      {"MPI_Type_commit", "null pointer", {MPI_ERR_ARG}, [] { return MPI_Type_commit(nullptr); }, true},
      {"MPI_Type_free", "predefined", {MPI_ERR_TYPE}, [] { MPI_Datatype type = MPI_INT; return MPI_Type_free(&type); }},
      {"MPI_Type_free", "null type", {MPI_ERR_TYPE}, [] { MPI_Datatype none = MPI_DATATYPE_NULL; return MPI_Type_free(&none); }},
      {"MPI_Type_free", "freed", {MPI_ERR_TYPE}, [] { MPI_Datatype type = freed; return MPI_Type_free(&type); }, true},
      {"MPI_Send", "uncommitted", {MPI_ERR_TYPE}, [] { return MPI_Send(buffer, 1, uncommitted, 0, 0, MPI_COMM_SELF); }},
      {"MPI_Irecv", "uncommitted", {MPI_ERR_TYPE}, [] { MPI_Request request; return MPI_Irecv(buffer, 1, uncommitted, 0, 0, MPI_COMM_SELF, &request); }},
      {"MPI_Bcast", "uncommitted", {MPI_ERR_TYPE}, [] { return MPI_Bcast(buffer, 1, uncommitted, 0, MPI_COMM_SELF); }},
      {"MPI_Send", "freed", {MPI_ERR_TYPE}, [] { return MPI_Send(buffer, 1, freed, 0, 0, MPI_COMM_SELF); }, true},
      {"MPI_Allreduce", "derived type, predefined operation", {MPI_ERR_OP}, [] { MPI_Datatype type; MPI_Type_dup(uncommitted, &type); MPI_Type_commit(&type); int error = MPI_Allreduce(buffer, packed, 1, type, MPI_SUM, MPI_COMM_SELF); MPI_Type_free(&type); return error; }},
      {"MPI_Get_elements", "null type", {MPI_ERR_TYPE}, [] { return MPI_Get_elements(&status, MPI_DATATYPE_NULL, &number); }},
      {"MPI_Status_set_elements", "count -1", {MPI_ERR_COUNT, MPI_ERR_ARG}, [] { return MPI_Status_set_elements(&status, MPI_INT, -1); }, true},
      {"MPI_Type_get_contents", "predefined", {MPI_ERR_TYPE}, [] { return MPI_Type_get_contents(MPI_INT, 2, 2, 2, buffer, where, types); }, true},
      {"MPI_Type_get_contents", "too few integers", {MPI_ERR_ARG}, [] { MPI_Datatype got; return MPI_Type_get_contents(uncommitted, 0, 0, 1, nullptr, nullptr, &got); }, true},
      {"MPI_Type_get_contents", "no array", {MPI_ERR_ARG}, [] { MPI_Datatype got; return MPI_Type_get_contents(uncommitted, 1, 0, 1, nullptr, nullptr, &got); }, true},
      {"MPI_Type_get_envelope", "null pointer", {MPI_ERR_ARG}, [] { return MPI_Type_get_envelope(MPI_INT, &number, &number, &number, nullptr); }, true},
      {"MPI_Type_get_extent", "null pointer", {MPI_ERR_ARG}, [] { return MPI_Type_get_extent(MPI_INT, nullptr, &address); }, true},
      {"MPI_Type_set_name", "null name", {MPI_ERR_ARG}, [] { return MPI_Type_set_name(MPI_INT, nullptr); }, true},
      {"MPI_Type_get_attr", "no such key", {MPI_ERR_KEYVAL, MPI_ERR_OTHER}, [] { void* value; return MPI_Type_get_attr(MPI_INT, 12345678, &value, &number); }},
      {"MPI_Type_free_keyval", "no key", {MPI_ERR_KEYVAL, MPI_ERR_ARG, MPI_ERR_OTHER}, [] { int key = MPI_KEYVAL_INVALID; return MPI_Type_free_keyval(&key); }},
      {"MPI_Get_address", "null pointer", {MPI_ERR_ARG}, [] { return MPI_Get_address(buffer, nullptr); }, true},
  };
}

std::vector<Wrong> packing() {
  MPI_Comm world = MPI_COMM_WORLD;
  return {
      {"MPI_Pack", "too small", {MPI_ERR_TRUNCATE, MPI_ERR_ARG}, [=] { place = 0; return MPI_Pack(buffer, 4, MPI_INT, packed, 15, &place, world); }, true},
      {"MPI_Pack", "position beyond", {MPI_ERR_ARG, MPI_ERR_TRUNCATE}, [=] { place = 65; return MPI_Pack(buffer, 0, MPI_INT, packed, 64, &place, world); }, true},
      {"MPI_Pack", "position -1", {MPI_ERR_ARG}, [=] { place = -1; return MPI_Pack(buffer, 1, MPI_INT, packed, 64, &place, world); }, true},
      {"MPI_Pack", "null position", {MPI_ERR_ARG}, [=] { return MPI_Pack(buffer, 1, MPI_INT, packed, 64, nullptr, world); }, true},
      {"MPI_Pack", "uncommitted", {MPI_ERR_TYPE}, [=] { place = 0; return MPI_Pack(buffer, 1, uncommitted, packed, 64, &place, world); }, true},
      {"MPI_Pack", "count -1", {MPI_ERR_COUNT}, [=] { place = 0; return MPI_Pack(buffer, -1, MPI_INT, packed, 64, &place, world); }},
      {"MPI_Pack", "null result", {MPI_ERR_BUFFER, MPI_ERR_ARG}, [=] { place = 0; return MPI_Pack(buffer, 1, MPI_INT, nullptr, 64, &place, world); }, true},
      {"MPI_Pack", "null comm", {MPI_ERR_COMM}, [=] { place = 0; return MPI_Pack(buffer, 1, MPI_INT, packed, 64, &place, MPI_COMM_NULL); }},
      {"MPI_Unpack", "too little", {MPI_ERR_TRUNCATE, MPI_ERR_ARG}, [=] { place = 4; return MPI_Unpack(packed, 15, &place, buffer, 3, MPI_INT, world); }, true},
      {"MPI_Unpack", "null buffer", {MPI_ERR_BUFFER}, [=] { place = 0; return MPI_Unpack(packed, 64, &place, nullptr, 1, MPI_INT, world); }, true},
      {"MPI_Pack_size", "null type", {MPI_ERR_TYPE}, [=] { return MPI_Pack_size(1, MPI_DATATYPE_NULL, world, &number); }},
      {"MPI_Pack_external", "representation", {MPI_ERR_ARG, MPI_ERR_UNSUPPORTED_DATAREP}, [] { MPI_Aint at = 0; return MPI_Pack_external("native64", buffer, 1, MPI_INT, packed, 64, &at); }, true},
      {"MPI_Pack_external", "too small", {MPI_ERR_TRUNCATE}, [] { MPI_Aint at = 0; return MPI_Pack_external("external32", buffer, 2, MPI_INT, packed, 7, &at); }, true},
      {"MPI_Unpack_external", "too little", {MPI_ERR_TRUNCATE}, [] { MPI_Aint at = 0; return MPI_Unpack_external("external32", packed, 7, &at, buffer, 2, MPI_INT); }, true},
      {"MPI_Pack_external_size", "count -1", {MPI_ERR_COUNT}, [] { return MPI_Pack_external_size("external32", -1, MPI_INT, &address); }, true},
  };
}

// clang-format on

void run_table(const std::vector<Wrong>& table) {
  for (const Wrong& wrong : table) {
    if (wrong.only_tern && !check::library_is_tern()) continue;
    int error = wrong.run(), actual = check::error_class(error);
    bool right =
        std::find(wrong.classes.begin(), wrong.classes.end(), actual) != wrong.classes.end();
    EXPECT_MSG(right, "%s, %s: class %d (%s), expected %d", wrong.call, wrong.what, actual,
               check::error_name(error).c_str(), wrong.classes[0]);
    if (error == MPI_SUCCESS || !check::library_is_tern()) continue;
    std::string text = check::error_name(error);
    EXPECT_MSG(text.find(wrong.call) != std::string::npos,
               "%s, %s: the text does not name the call: %s", wrong.call, wrong.what, text.c_str());
  }
  // It all goes on.
  MPI_Datatype type;
  EXPECT_OK(MPI_Type_vector(2, 1, 2, MPI_INT, &type));
  EXPECT_OK(MPI_Type_commit(&type));
  int numbers[] = {1, 2, 3}, got[] = {0, 0};
  MPI_Request request;
  EXPECT_OK(MPI_Isend(numbers, 1, type, 0, 3, MPI_COMM_SELF, &request));
  EXPECT_OK(MPI_Recv(got, 2, MPI_INT, 0, 3, MPI_COMM_SELF, &status));
  EXPECT_OK(MPI_Wait(&request, &status));
  EXPECT(got[0] == 1 && got[1] == 3);
  EXPECT_OK(MPI_Type_free(&type));
}

void prepare() {
  for (MPI_Comm comm : {MPI_COMM_WORLD, MPI_COMM_SELF}) {
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  }
  EXPECT_OK(MPI_Type_contiguous(3, MPI_INT, &uncommitted));
  freed = stale();
}

void wrong_constructors() { run_table(constructors()); }
void wrong_arrays() { run_table(arrays()); }
void wrong_uses() { run_table(uses()); }
void wrong_packing() { run_table(packing()); }
void finish() { EXPECT_OK(MPI_Type_free(&uncommitted)); }

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"prepare", prepare},
                      {"wrong_constructors", wrong_constructors},
                      {"wrong_arrays", wrong_arrays},
                      {"wrong_uses", wrong_uses},
                      {"wrong_packing", wrong_packing},
                      {"finish", finish}});
}
