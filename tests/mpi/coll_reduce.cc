// tests/mpi/coll_reduce.cc - reductions of all predefined types with all operations they allow.
//
// On random communicators, roots and counts; results are compared with a reference that recomputes
// every rank's contribution from the seed. User-defined operations: coll_userop.
#include "comm_sample.h"
#include "reduction.h"

namespace {

using check::Random;
using check::ReductionType;

struct Case {
  const ReductionType& type;
  int op, count, id;
  check::CommSample& comm;
  bool in_place;
  bool blocking;

  std::vector<unsigned char> mine() const {
    return check::contribution(type, op, count, id, check::rank);
  }
  MPI_Op handle() const { return check::operation(op).handle; }
  std::vector<unsigned char> room() const {
    return std::vector<unsigned char>(type.extent * (count + 1), 0xEE);
  }
  // The bytes behind the result are untouched.
  void expect_clean_end(const std::vector<unsigned char>& buffer, int used,
                        const char* what) const {
    for (std::size_t i = type.extent * used; i < buffer.size(); ++i) {
      if (buffer[i] != 0xEE) {
        EXPECT_MSG(false, "%s %s: wrote behind the result", what, type.name);
        return;
      }
    }
  }
};

void wait(MPI_Request& request) { EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE)); }

void allreduce(const Case& c) {
  auto in = c.mine(), out = c.room();
  if (c.in_place) std::copy(in.begin(), in.begin() + c.type.extent * c.count, out.begin());
  const void* from = c.in_place ? MPI_IN_PLACE : in.data();
  MPI_Request request;
  if (c.blocking) {
    EXPECT_OK(MPI_Allreduce(from, out.data(), c.count, c.type.handle, c.handle(), c.comm.handle));
  } else {
    EXPECT_OK(MPI_Iallreduce(from, out.data(), c.count, c.type.handle, c.handle(), c.comm.handle,
                             &request));
    wait(request);
  }
  auto expected = check::reduce_reference(c.type, c.op, c.count, c.id, c.comm.members);
  check::expect_reduced(c.type, c.op, out.data(), expected, 0, c.count, "allreduce");
  c.expect_clean_end(out, c.count, "allreduce");
}

void reduce(const Case& c) {
  int root = Random(20, c.id).below(c.comm.size());
  bool at_root = c.comm.rank == root;
  auto in = c.mine(), out = c.room();
  bool in_place = c.in_place && at_root;
  if (root != 0 && check::library_is("MPICH")) in_place = false;  // 4.0 crashes above 2 KB.
  if (in_place) std::copy(in.begin(), in.begin() + c.type.extent * c.count, out.begin());
  const void* from = in_place ? MPI_IN_PLACE : in.data();
  void* to = at_root ? out.data() : nullptr;  // Not significant elsewhere.
  MPI_Request request;
  if (c.blocking) {
    EXPECT_OK(MPI_Reduce(from, to, c.count, c.type.handle, c.handle(), root, c.comm.handle));
  } else {
    EXPECT_OK(
        MPI_Ireduce(from, to, c.count, c.type.handle, c.handle(), root, c.comm.handle, &request));
    wait(request);
  }
  if (!at_root) return;
  auto expected = check::reduce_reference(c.type, c.op, c.count, c.id, c.comm.members);
  check::expect_reduced(c.type, c.op, out.data(), expected, 0, c.count, "reduce");
  c.expect_clean_end(out, c.count, "reduce");
}

void scan(const Case& c, bool exclusive) {
  auto in = c.mine(), out = c.room();
  if (c.in_place) std::copy(in.begin(), in.begin() + c.type.extent * c.count, out.begin());
  const void* from = c.in_place ? MPI_IN_PLACE : in.data();
  MPI_Request request;
  if (c.blocking) {
    auto call = exclusive ? MPI_Exscan : MPI_Scan;
    EXPECT_OK(call(from, out.data(), c.count, c.type.handle, c.handle(), c.comm.handle));
  } else {
    auto call = exclusive ? MPI_Iexscan : MPI_Iscan;
    EXPECT_OK(call(from, out.data(), c.count, c.type.handle, c.handle(), c.comm.handle, &request));
    wait(request);
  }
  c.expect_clean_end(out, c.count, "scan");
  int last = c.comm.rank + (exclusive ? 0 : 1);
  if (last == 0) return;  // The result of exscan is undefined at rank 0.
  std::vector<int> before(c.comm.members.begin(), c.comm.members.begin() + last);
  auto expected = check::reduce_reference(c.type, c.op, c.count, c.id, before);
  check::expect_reduced(c.type, c.op, out.data(), expected, 0, c.count,
                        exclusive ? "exscan" : "scan");
}

void reduce_scatter(const Case& c, bool block) {
  // Split the count over the ranks: unevenly, or in equal blocks.
  Random random(21, c.id);
  int size = c.comm.size(), each = c.count / size, total = 0, first = 0;
  std::vector<int> counts(size);
  for (int r = 0; r < size; ++r) {
    counts[r] = block ? each : random.below(2 * each + 2);
    if (r < c.comm.rank) first += counts[r];
    total += counts[r];
  }
  auto in = check::contribution(c.type, c.op, total, c.id, check::rank);
  int mine = counts[c.comm.rank];
  std::vector<unsigned char> out(c.type.extent * ((c.in_place ? total : mine) + 1), 0xEE);
  if (c.in_place) std::copy(in.begin(), in.begin() + c.type.extent * total, out.begin());
  const void* from = c.in_place ? MPI_IN_PLACE : in.data();
  MPI_Request request = MPI_REQUEST_NULL;
  if (block && c.blocking) {
    EXPECT_OK(
        MPI_Reduce_scatter_block(from, out.data(), each, c.type.handle, c.handle(), c.comm.handle));
  } else if (block) {
    EXPECT_OK(MPI_Ireduce_scatter_block(from, out.data(), each, c.type.handle, c.handle(),
                                        c.comm.handle, &request));
  } else if (c.blocking) {
    EXPECT_OK(MPI_Reduce_scatter(from, out.data(), counts.data(), c.type.handle, c.handle(),
                                 c.comm.handle));
  } else {
    EXPECT_OK(MPI_Ireduce_scatter(from, out.data(), counts.data(), c.type.handle, c.handle(),
                                  c.comm.handle, &request));
  }
  wait(request);
  auto expected = check::reduce_reference(c.type, c.op, total, c.id, c.comm.members);
  check::expect_reduced(c.type, c.op, out.data(), expected, first, mine,
                        block ? "reduce_scatter_block" : "reduce_scatter");
  c.expect_clean_end(out, c.in_place ? total : mine, "reduce_scatter");
}

void one_reduction(int kind, const Case& c) {
  switch (kind) {
    case 0:
      allreduce(c);
      break;
    case 1:
      reduce(c);
      break;
    case 2:
      scan(c, false);
      break;
    case 3:
      scan(c, true);
      break;
    case 4:
      reduce_scatter(c, false);
      break;
    default:
      reduce_scatter(c, true);
  }
}

// Every allowed pair of type and operation, through a random one of the reductions.
void every_type_with_every_operation() {
  int id = 0;
  check::CommSamples comms(3);
  for (const ReductionType& type : check::reduction_types()) {
    for (int op = 0; op < check::kOperations; ++op) {
      if (!check::allowed(type.kind, op)) continue;
      ++id;
      Random random(22, id);
      Case c = {
          type, op, random.below(40), id, comms.pick(random), random.chance(30), random.chance(50)};
      if (c.comm.handle != MPI_COMM_NULL) one_reduction(random.below(6), c);
    }
  }
}

// Every reduction with counts across all protocol and algorithm boundaries.
void every_reduction_with_many_counts() {
  check::CommSamples comms(3);
  int id = 1000;
  for (int kind = 0; kind < 6; ++kind) {
    for (int count : {0, 1, 2, 3, 7, 31, 33, 255, 257, 1000, 2049, 8191, 16385, 70001}) {
      Random random(23, ++id);
      const auto& types = check::reduction_types();
      const ReductionType* type = &random.pick(types);
      int op = random.below(check::kOperations);
      while (!check::allowed(type->kind, op)) {
        type = &random.pick(types);
        op = random.below(check::kOperations);
      }
      Case c = {*type, op, count, id, comms.pick(random), random.chance(30), random.chance(50)};
      if (c.comm.handle != MPI_COMM_NULL) one_reduction(kind, c);
    }
  }
}

void large_allreduce() {
  check::CommSamples comms(0);
  Random random(24);
  for (int count : {1 << 18, (1 << 18) + 1}) {
    const ReductionType& type = check::reduction_types()[4];  // MPI_INT
    Case c = {type, check::kSum, count, 2000 + count, comms.pick(random), false, true};
    allreduce(c);
    reduce(c);
  }
}

// Local, so every rank for itself.
void reduce_local() {
  int id = 3000;
  for (const ReductionType& type : check::reduction_types()) {
    for (int op = 0; op < check::kOperations; ++op) {
      if (!check::allowed(type.kind, op)) continue;
      int count = Random(25, ++id).below(100);
      auto in = check::contribution(type, op, count, id, 0);
      auto inout = check::contribution(type, op, count, id, 1);
      EXPECT_OK(MPI_Reduce_local(in.data(), inout.data(), count, type.handle,
                                 check::operation(op).handle));
      auto expected = check::reduce_reference(type, op, count, id, {0, 1});
      check::expect_reduced(type, op, inout.data(), expected, 0, count, "reduce_local");
    }
  }
}

// A predefined operation on a type it is not defined for is an error, not a guess.
void forbidden_combinations_are_refused() {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  char in[64] = {}, out[64] = {};
  for (const ReductionType& type : check::reduction_types()) {
    for (int op = 0; op < check::kOperations; ++op) {
      if (check::allowed(type.kind, op)) continue;
      bool tolerated = type.kind == check::Kind::kMultiLanguage ||
                       type.kind == check::Kind::kByte || type.kind == check::Kind::kLogical ||
                       type.kind == check::Kind::kFloat;
      if (tolerated && !check::library_is_tern())
        continue;  // Others treat these as plain integers.
      int error =
          MPI_Allreduce(in, out, 1, type.handle, check::operation(op).handle, MPI_COMM_WORLD);
      EXPECT_MSG(check::error_class(error) == MPI_ERR_OP,
                 "%s on %s: class %d instead of MPI_ERR_OP", check::operation(op).name, type.name,
                 check::error_class(error));
    }
  }
  EXPECT_CLASS(MPI_Allreduce(in, out, 1, MPI_INT, MPI_OP_NULL, MPI_COMM_WORLD), MPI_ERR_OP);
  EXPECT_CLASS(MPI_Allreduce(in, out, 1, MPI_INT, MPI_REPLACE, MPI_COMM_WORLD), MPI_ERR_OP);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"every_type_with_every_operation", every_type_with_every_operation},
                      {"every_reduction_with_many_counts", every_reduction_with_many_counts},
                      {"large_allreduce", large_allreduce},
                      {"reduce_local", reduce_local},
                      {"forbidden_combinations_are_refused", forbidden_combinations_are_refused}});
}
