// mpi_api/cart.cc - cartesian topologies (MPI-5.0 section 8.5). MPI_Dims_create: dims.cc.
#include <algorithm>
#include <cstdlib>

#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/topology.h"

namespace tern::mpi {

std::vector<int> coords_of(const Topology& cart, int rank) {
  std::vector<int> coords(cart.dims.size());
  for (std::size_t i = coords.size(); i-- > 0;) {
    coords[i] = rank % cart.dims[i];
    rank /= cart.dims[i];
  }
  return coords;
}

int rank_of(const Topology& cart, std::span<const int> coords) {
  int rank = 0;
  for (std::size_t i = 0; i < coords.size(); ++i) rank = rank * cart.dims[i] + coords[i];
  return rank;
}

int neighbor_of(const Topology& cart, int dimension, long long distance) {
  const auto i = static_cast<std::size_t>(dimension);
  const int extent = cart.dims[i];
  long long at = cart.coords[i] + distance;
  if (cart.periods[i] != 0) {
    at = (at % extent + extent) % extent;
  } else if (at < 0 || at >= extent) {
    return MPI_PROC_NULL;
  }
  std::vector<int> coords = cart.coords;
  coords[i] = static_cast<int>(at);
  return rank_of(cart, coords);
}

void settle_in_grid(Topology& cart, int rank) {
  cart.coords = coords_of(cart, rank);
  for (int dimension = 0; dimension < static_cast<int>(cart.dims.size()); ++dimension) {
    cart.sources.push_back(neighbor_of(cart, dimension, -1));
    cart.sources.push_back(neighbor_of(cart, dimension, +1));
  }
  cart.destinations = cart.sources;
}

namespace {

// The product of dims, refused when it is more than comm has.
int count_cells(const Comm& comm, std::span<const int> dims, int& cells) {
  long long product = 1;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] <= 0) {
      return fail(MPI_ERR_DIMS, "dims[{}] is {}; every dimension must be positive", i, dims[i]);
    }
    product *= dims[i];
    if (product > comm.size()) {
      return fail(MPI_ERR_DIMS,
                  "dims describe a grid of {} or more processes, but the communicator has {}",
                  product, comm.size());
    }
  }
  cells = static_cast<int>(product);
  return MPI_SUCCESS;
}

// The grid's edges, once each: from every cell to the next one of each dimension.
std::vector<Edge> edges_of_grid(const Topology& grid, int cells) {
  std::vector<Edge> edges;
  Topology cell = grid;
  for (int rank = 0; rank < cells; ++rank) {
    cell.coords = coords_of(grid, rank);
    for (int dimension = 0; dimension < static_cast<int>(grid.dims.size()); ++dimension) {
      const int next = neighbor_of(cell, dimension, +1);
      if (next != MPI_PROC_NULL && next != rank) edges.push_back({rank, next, 1});
    }
  }
  return edges;
}

// Arrays that are too short would lose coordinates without a word.
int check_room(const Topology& cart, int maxdims) {
  const auto dimensions = static_cast<int>(cart.dims.size());
  if (maxdims >= dimensions) return MPI_SUCCESS;
  return fail(MPI_ERR_ARG, "maxdims is {}, but the topology of comm has {} dimension{}", maxdims,
              dimensions, dimensions == 1 ? "" : "s");
}

int need_array(const void* array, const Topology& cart, const char* argument) {
  if (array != nullptr || cart.dims.empty()) return MPI_SUCCESS;
  return fail(MPI_ERR_ARG, "{} is a null pointer, but the topology of comm has {} dimensions",
              argument, cart.dims.size());
}

}  // namespace

namespace impl {

int cart_create(Comm* comm_old, int ndims, const int* dims, const int* periods, int reorder,
                Comm** comm_cart) {
  const auto dimensions = static_cast<std::size_t>(ndims);
  auto cart = std::make_shared<Topology>();
  cart->dims.assign(dims, dims + dimensions);
  for (std::size_t i = 0; i < dimensions; ++i) cart->periods.push_back(periods[i] != 0);
  int cells = 0;
  if (const int error = count_cells(*comm_old, cart->dims, cells)) return error;

  const std::vector<Edge> edges = reorder != 0 ? edges_of_grid(*cart, cells) : std::vector<Edge>();
  Seating seating;
  if (const int error = seat(*comm_old, cells, reorder != 0, edges, cart->dims, seating)) {
    return error;
  }
  const int rank = seating.position_of(comm_old->rank());
  if (rank == MPI_UNDEFINED) return MPI_SUCCESS;
  settle_in_grid(*cart, rank);
  return make_seated(*comm_old, seating, std::move(cart), comm_cart);
}

int cart_map(Comm* comm, int ndims, const int* dims, const int*, int* newrank) {
  int cells = 0;
  if (const int error = count_cells(*comm, {dims, static_cast<std::size_t>(ndims)}, cells)) {
    return error;
  }
  // What MPI_Cart_create does without reordering: with it, all processes would have to take part.
  *newrank = comm->rank() < cells ? comm->rank() : MPI_UNDEFINED;
  return MPI_SUCCESS;
}

int cart_sub(Comm* comm, const int* remain_dims, Comm** newcomm) {
  const Topology* cart = nullptr;
  if (const int error = find_topology(*comm, Topology::Kind::kCart, &cart)) return error;
  if (const int error = need_array(remain_dims, *cart, "remain_dims")) return error;
  // Processes with the same coordinates in the dimensions that go are together, in the order of
  // those that remain.
  auto sub = std::make_shared<Topology>();
  int color = 0;
  int key = 0;
  for (std::size_t i = 0; i < cart->dims.size(); ++i) {
    if (remain_dims[i] != 0) {
      sub->dims.push_back(cart->dims[i]);
      sub->periods.push_back(cart->periods[i]);
      key = key * cart->dims[i] + cart->coords[i];
    } else {
      color = color * cart->dims[i] + cart->coords[i];
    }
  }
  if (const int error = comm_split(comm, color, key, newcomm)) return error;
  settle_in_grid(*sub, key);
  (*newcomm)->topology = std::move(sub);
  return MPI_SUCCESS;
}

int cartdim_get(Comm* comm, int* ndims) {
  const Topology* cart = nullptr;
  if (const int error = find_topology(*comm, Topology::Kind::kCart, &cart)) return error;
  *ndims = static_cast<int>(cart->dims.size());
  return MPI_SUCCESS;
}

int cart_get(Comm* comm, int maxdims, int* dims, int* periods, int* coords) {
  const Topology* cart = nullptr;
  if (const int error = find_topology(*comm, Topology::Kind::kCart, &cart)) return error;
  if (const int error = check_room(*cart, maxdims)) return error;
  std::ranges::copy(cart->dims, dims);
  std::ranges::copy(cart->periods, periods);
  std::ranges::copy(cart->coords, coords);
  return MPI_SUCCESS;
}

int cart_rank(Comm* comm, const int* coords, int* rank) {
  const Topology* cart = nullptr;
  if (const int error = find_topology(*comm, Topology::Kind::kCart, &cart)) return error;
  if (const int error = need_array(coords, *cart, "coords")) return error;
  std::vector<int> inside(cart->dims.size());
  for (std::size_t i = 0; i < inside.size(); ++i) {
    const int extent = cart->dims[i];
    if (cart->periods[i] == 0 && (coords[i] < 0 || coords[i] >= extent)) {
      return fail(MPI_ERR_ARG,
                  "coords[{}] is {}; dimension {} is not periodic and goes from 0 to {}", i,
                  coords[i], i, extent - 1);
    }
    inside[i] = (coords[i] % extent + extent) % extent;
  }
  *rank = rank_of(*cart, inside);
  return MPI_SUCCESS;
}

int cart_coords(Comm* comm, int rank, int maxdims, int* coords) {
  const Topology* cart = nullptr;
  if (const int error = find_topology(*comm, Topology::Kind::kCart, &cart)) return error;
  if (const int error = check_room(*cart, maxdims)) return error;
  if (rank < 0 || rank >= comm->size()) {
    return fail(MPI_ERR_RANK, "rank is {}; comm has ranks 0 to {}", rank, comm->size() - 1);
  }
  std::ranges::copy(coords_of(*cart, rank), coords);
  return MPI_SUCCESS;
}

int cart_shift(Comm* comm, int direction, int disp, int* rank_source, int* rank_dest) {
  const Topology* cart = nullptr;
  if (const int error = find_topology(*comm, Topology::Kind::kCart, &cart)) return error;
  const auto dimensions = static_cast<int>(cart->dims.size());
  if (direction < 0 || direction >= dimensions) {
    return fail(MPI_ERR_ARG, "direction is {}; the topology of comm has {} dimension{}, from 0 on",
                direction, dimensions, dimensions == 1 ? "" : "s");
  }
  *rank_source = neighbor_of(*cart, direction, -static_cast<long long>(disp));
  *rank_dest = neighbor_of(*cart, direction, disp);
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
