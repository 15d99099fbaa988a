// mpi_api/op_calls.cc - creating, freeing and applying operations (MPI-5.0 sections 6.9.5
// to 6.9.7).
#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/op.h"

namespace tern::mpi::impl {

int op_create(MPI_User_function* user_fn, int commute, Op** op) {
  return hand_over(make<Op>(user_fn, commute != 0), "an operation", op);
}

int op_create_c(MPI_User_function_c* user_fn, int commute, Op** op) {
  return hand_over(make<Op>(user_fn, commute != 0), "an operation", op);
}

int op_free(MPI_Op* op) {
  Op* const freed = to_op(*op);
  if (freed->predefined()) {
    return fail(MPI_ERR_OP,
                "{} is predefined and cannot be freed; only operations made by "
                "MPI_Op_create can",
                freed->name());
  }
  freed->release();
  *op = MPI_OP_NULL;
  return MPI_SUCCESS;
}

int op_commutative(Op* op, int* commute) {
  *commute = op->commutative() ? 1 : 0;
  return MPI_SUCCESS;
}

int reduce_local(const void* inbuf, void* inoutbuf, MPI_Count count, Datatype* datatype, Op* op) {
  if (const int error = check_reduction(*op, *datatype)) return error;
  if (count == 0) return MPI_SUCCESS;
  if (inbuf == inoutbuf && inbuf != MPI_BOTTOM) {
    return fail(MPI_ERR_BUFFER, "inbuf and inoutbuf are the same memory; they must not overlap");
  }
  op->apply(inbuf, inoutbuf, count, *datatype);
  return MPI_SUCCESS;
}

}  // namespace tern::mpi::impl
