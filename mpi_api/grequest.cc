// mpi_api/grequest.cc - generalized requests: operations that the program itself completes (MPI-5.0
// section 13.2).
#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/request.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

class GeneralizedRequest final : public Request {
 public:
  GeneralizedRequest(MPI_Grequest_query_function* query, MPI_Grequest_free_function* free,
                     MPI_Grequest_cancel_function* on_cancel, void* state)
      : query_(query), free_(free), cancel_(on_cancel), state_(state) {}

  int result(MPI_Status& status) override {
    set_empty(status);
    return query_ != nullptr ? query_(state_, &status) : MPI_SUCCESS;
  }
  void cancel() override {
    if (cancel_ != nullptr) cancel_(state_, op.done ? 1 : 0);
  }
  int consumed() override { return free_ != nullptr ? free_(state_) : MPI_SUCCESS; }

  // MPI_Request_free came first: the free function runs when the operation completes.
  void complete() {
    op.done = true;
    engine().wake();
    if (op.on_done == nullptr) return;
    consumed();
    op.on_done(op);
  }

 private:
  MPI_Grequest_query_function* query_;
  MPI_Grequest_free_function* free_;
  MPI_Grequest_cancel_function* cancel_;
  void* state_;
};

}  // namespace

namespace impl {

int grequest_start(MPI_Grequest_query_function* query_fn, MPI_Grequest_free_function* free_fn,
                   MPI_Grequest_cancel_function* cancel_fn, void* extra_state, Request** request) {
  return hand_over<Request>(make<GeneralizedRequest>(query_fn, free_fn, cancel_fn, extra_state),
                            "a request", request);
}

int grequest_complete(Request* request) {
  auto* const generalized = dynamic_cast<GeneralizedRequest*>(request);
  if (generalized == nullptr) {
    return raise_default(fail(MPI_ERR_REQUEST, "the request was not made by MPI_Grequest_start"),
                         "MPI_Grequest_complete");
  }
  generalized->complete();
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
