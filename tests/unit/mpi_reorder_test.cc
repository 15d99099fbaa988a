// Topologies on machines that the tests do not run on: who gets which position.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "mpi_api/reorder.h"
#include "seed.h"

namespace tern::mpi {
namespace {

// Process i is on a host of its `hosts`, and in a package there; -1: not bound to one.
Place place(int host, int package) {
  Place result;
  result.host = {static_cast<std::uint64_t>(host) * 0x9e3779b97f4a7c15ULL, 1};
  result.instance.fill(-1);
  result.instance[static_cast<std::size_t>(Resource::kHost)] = 0;
  result.instance[static_cast<std::size_t>(Resource::kPackage)] = package;
  return result;
}

std::vector<Edge> edges_of(const std::vector<int>& grid) {
  std::vector<Edge> edges;
  const int cells = std::accumulate(grid.begin(), grid.end(), 1, std::multiplies<>());
  int stride = cells;
  for (const int extent : grid) {
    stride /= extent;
    for (int cell = 0; cell < cells; ++cell) {
      if (cell / stride % extent + 1 < extent) edges.push_back({cell, cell + stride, 1});
    }
  }
  return edges;
}

std::vector<int> identity(std::size_t size) {
  std::vector<int> order(size);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

bool is_permutation_of_all(std::vector<int> order) {
  std::ranges::sort(order);
  return order == identity(order.size());
}

// Edges between different hosts.
int cut(const std::vector<Place>& places, const std::vector<Edge>& edges,
        const std::vector<int>& order) {
  return static_cast<int>(std::ranges::count_if(edges, [&](const Edge& edge) {
    const auto at = [&](int position) {
      return places[static_cast<std::size_t>(order[static_cast<std::size_t>(position)])].host;
    };
    return at(edge.from) != at(edge.to);
  }));
}

TEST(Reorder, OneHostKeepsItsOrder) {
  const std::vector<Place> places(12, place(3, -1));
  EXPECT_EQ(near_order(places, edges_of({3, 4}), std::vector<int>{3, 4}), identity(12));
}

TEST(Reorder, AGridIsCutIntoSquareBlocksPerHost) {
  // 4 hosts of 16 processes, ranks dealt out host by host: an 8 x 8 grid cut into four 4 x 4 blocks
  // has 16 edges between hosts, rows have 24.
  std::vector<Place> places;
  for (int i = 0; i < 64; ++i) places.push_back(place(i / 16, -1));
  const std::vector<int> grid = {8, 8};
  const std::vector<Edge> edges = edges_of(grid);
  const std::vector<int> order = near_order(places, edges, grid);
  EXPECT_TRUE(is_permutation_of_all(order));
  EXPECT_EQ(cut(places, edges, identity(64)), 24);
  EXPECT_EQ(cut(places, edges, order), 16);
}

TEST(Reorder, RanksDealtOutRoundRobinAreBroughtTogether) {
  std::vector<Place> places;
  for (int i = 0; i < 64; ++i) places.push_back(place(i % 4, i / 4 % 2));
  const std::vector<int> grid = {4, 4, 4};
  const std::vector<Edge> edges = edges_of(grid);
  const std::vector<int> order = near_order(places, edges, grid);
  EXPECT_TRUE(is_permutation_of_all(order));
  EXPECT_EQ(cut(places, edges, order), 32);  // Four 2 x 2 x 4 blocks: two faces of 16.
  // Inside a host the two packages share a face of 4 only: 4 hosts, 2 x 2 x 2 cells each.
  EXPECT_EQ(traffic_cost(places, edges, order), 32 * 64 + 4 * 4 * 8);
}

TEST(Reorder, AGraphOfClustersFindsItsHosts) {
  // Three clusters that talk among themselves, spread over the ranks; hosts of 4, 5 and 6.
  std::vector<Place> places;
  for (int i = 0; i < 15; ++i) places.push_back(place(i < 4 ? 0 : i < 9 ? 1 : 2, -1));
  const auto cluster = [](int node) { return node % 3 == 0 ? 0 : node % 3 == 1 ? 1 : 2; };
  std::vector<Edge> edges;
  for (int a = 0; a < 15; ++a) {
    for (int b = 0; b < a; ++b) {
      if (cluster(a) == cluster(b)) edges.push_back({a, b, 10});
    }
  }
  edges.push_back({0, 1, 1});
  edges.push_back({1, 2, 1});
  const std::vector<int> order = near_order(places, edges, {});
  EXPECT_TRUE(is_permutation_of_all(order));
  // Clusters of 5 do not fit a host of 4: one of each pair of them is split.
  EXPECT_LT(traffic_cost(places, edges, order), traffic_cost(places, edges, identity(15)) / 3);
}

TEST(Reorder, IsNeverWorseThanNotReordering) {
  test::Random random;
  const auto below = [&random](int n) { return random.between(0, n - 1); };
  for (int round = 0; round < 300; ++round) {
    const int size = 1 + below(40);
    std::vector<Place> places;
    for (int i = 0; i < size; ++i) places.push_back(place(below(4), below(4) - 1));
    std::vector<int> grid;
    std::vector<Edge> edges;
    if (below(2) == 0) {
      const int rows = 1 + below(size);
      if (size % rows == 0) grid = {rows, size / rows};
    }
    if (grid.empty()) {
      for (int i = below(100); i > 0; --i) edges.push_back({below(size), below(size), below(5)});
    } else {
      edges = edges_of(grid);
    }
    const std::vector<int> order = near_order(places, edges, grid);
    ASSERT_TRUE(is_permutation_of_all(order));
    ASSERT_LE(traffic_cost(places, edges, order),
              traffic_cost(places, edges, identity(order.size())));
  }
}

}  // namespace
}  // namespace tern::mpi
