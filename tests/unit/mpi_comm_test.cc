// What communicators can be asked without another process; creation is tested under tests/mpi.
#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <fstream>
#include <string>
#include <vector>

#include "impl.h"
#include "mpi_api/comm.h"
#include "mpi_api/errors.h"
#include "mpi_api/hardware.h"
#include "mpi_api/info.h"

namespace tern::mpi {
namespace {

class CommTest : public testing::Test {
 protected:
  void SetUp() override {
    make_predefined_groups();
    comm_ = comm_of({{1, 0}, {1, 1}, {2, 0}});
  }
  void TearDown() override {
    for (Comm* const comm : comms_) comm->release();
  }
  Comm* comm_of(std::vector<ProcessId> ids) {
    comms_.push_back(
        make_comm(100 + 2 * comms_.size(), make_group(std::move(ids), ProcessId{1, 1})));
    return comms_.back();
  }
  static int compare(Comm* a, Comm* b) {
    int result = 0;
    EXPECT_EQ(impl::comm_compare(a, b, &result), MPI_SUCCESS);
    return result;
  }
  static std::string name_of(Comm* comm) {
    std::array<char, MPI_MAX_OBJECT_NAME> name{};
    int length = 0;
    EXPECT_EQ(impl::comm_get_name(comm, name.data(), &length), MPI_SUCCESS);
    EXPECT_EQ(length, static_cast<int>(std::string(name.data()).size()));
    return name.data();
  }
  static std::string hint_of(Comm* comm, const char* key) {
    Info* info = nullptr;
    EXPECT_EQ(impl::comm_get_info(comm, &info), MPI_SUCCESS);
    const std::string value = info->get(key).value_or("(none)");
    info->release();
    return value;
  }

  Comm* comm_ = nullptr;
  std::vector<Comm*> comms_;
};

TEST_F(CommTest, KnowsItsGroup) {
  int rank = 0;
  int size = 0;
  impl::comm_rank(comm_, &rank);
  impl::comm_size(comm_, &size);
  EXPECT_EQ(rank, 1);
  EXPECT_EQ(size, 3);
  Group* group = nullptr;
  ASSERT_EQ(impl::comm_group(comm_, &group), MPI_SUCCESS);
  EXPECT_EQ(group->member(2), (ProcessId{2, 0}));
  group->release();
}

TEST_F(CommTest, TheGroupLivesOnWithoutTheCommunicator) {
  Group* group = nullptr;
  ASSERT_EQ(impl::comm_group(comm_, &group), MPI_SUCCESS);
  MPI_Comm handle = to_handle(comm_);
  ASSERT_EQ(impl::comm_free(&handle), MPI_SUCCESS);
  comms_.clear();
  EXPECT_EQ(group->size(), 3);
  MPI_Group group_handle = to_handle(group);
  ASSERT_EQ(impl::group_free(&group_handle), MPI_SUCCESS);
}

TEST_F(CommTest, AFreedCommunicatorLivesUntilItsLastOperationLetsGo) {
  comm_->retain();  // As an operation in flight does.
  MPI_Comm handle = to_handle(comm_);
  ASSERT_EQ(impl::comm_free(&handle), MPI_SUCCESS);
  EXPECT_EQ(handle, MPI_COMM_NULL);
  EXPECT_EQ(comm_->size(), 3);
  const MPI_Comm stale = to_handle(comm_);
  comm_->release();
  EXPECT_EQ(find_comm(stale), nullptr);
  comms_.clear();
}

TEST_F(CommTest, ComparisonKnowsAllFourResults) {
  EXPECT_EQ(compare(comm_, comm_), MPI_IDENT);
  EXPECT_EQ(compare(comm_, comm_of({{1, 0}, {1, 1}, {2, 0}})), MPI_CONGRUENT);
  EXPECT_EQ(compare(comm_, comm_of({{1, 1}, {1, 0}, {2, 0}})), MPI_SIMILAR);
  EXPECT_EQ(compare(comm_, comm_of({{1, 0}, {1, 1}})), MPI_UNEQUAL);
}

TEST_F(CommTest, NamesAreKeptAndCutAtTheStandardsLength) {
  EXPECT_EQ(name_of(comm_), "");
  impl::comm_set_name(comm_, "ocean");
  EXPECT_EQ(name_of(comm_), "ocean");
  impl::comm_set_name(comm_, std::string(500, 'n').c_str());
  EXPECT_EQ(name_of(comm_), std::string(MPI_MAX_OBJECT_NAME - 1, 'n'));
  impl::comm_set_name(comm_, "");
  EXPECT_EQ(name_of(comm_), "");
  EXPECT_EQ(name_of(nullptr), "MPI_COMM_NULL");
}

TEST_F(CommTest, HintsThatAreUnderstoodComeIntoForceAndOthersAreIgnored) {
  EXPECT_EQ(hint_of(comm_, "mpi_assert_no_any_tag"), "false");
  Info* info = nullptr;
  impl::info_create(&info);
  impl::info_set(info, "mpi_assert_no_any_tag", "true");
  impl::info_set(info, "mpi_assert_exact_length", "perhaps");
  impl::info_set(info, "of_another_library", "true");
  ASSERT_EQ(impl::comm_set_info(comm_, info), MPI_SUCCESS);
  info->release();
  EXPECT_EQ(hint_of(comm_, "mpi_assert_no_any_tag"), "true");
  EXPECT_EQ(hint_of(comm_, "mpi_assert_exact_length"), "false");
  EXPECT_EQ(hint_of(comm_, "of_another_library"), "(none)");
  EXPECT_EQ(impl::comm_set_info(comm_, nullptr), MPI_SUCCESS);
  EXPECT_EQ(hint_of(comm_, "mpi_assert_no_any_tag"), "true");
}

TEST_F(CommTest, HandleIntegersLeadBack) {
  const int number = impl::comm_toint(to_handle(comm_));
  EXPECT_EQ(impl::comm_fromint(number), to_handle(comm_));
  EXPECT_EQ(impl::comm_toint(MPI_COMM_WORLD), 0x101);
  EXPECT_EQ(impl::comm_fromint(0x101), MPI_COMM_WORLD);
  EXPECT_EQ(impl::comm_fromint(impl::comm_toint(MPI_COMM_NULL)), MPI_COMM_NULL);
}

TEST_F(CommTest, ManyAliveAtOnceAndManyMoreOverTime) {
  constexpr std::size_t kAlive = 2000;
  std::vector<Comm*> alive;
  for (int i = 0; i < 100'000; ++i) {
    comm_->group().retain();
    Comm* made = make_comm(1000 + 2 * static_cast<std::uint64_t>(i), &comm_->group());
    ASSERT_NE(made, nullptr);
    if (alive.size() < kAlive) {
      alive.push_back(made);
    } else {
      std::swap(alive[static_cast<std::size_t>(i) % kAlive], made);
      made->release();
    }
  }
  for (Comm* const comm : alive) comm->release();
  EXPECT_LE(sizeof(Comm), 384U) << "a communicator is meant to be cheap";
}

TEST(Hardware, ResourcesAreKnownByTheirNamesWithAndWithoutPrefix) {
  for (int i = 0; i < kResources; ++i) {
    const auto resource = static_cast<Resource>(i);
    EXPECT_EQ(parse_resource(resource_name(resource)), resource);
  }
  EXPECT_EQ(parse_resource("numanode"), Resource::kNumaNode);
  EXPECT_EQ(parse_resource("hwloc://L2Cache"), Resource::kL2Cache);
  EXPECT_EQ(parse_resource("HWLOC://core"), Resource::kCore);
  EXPECT_EQ(parse_resource("mpi_shared_memory"), Resource::kHost);
  for (const char* unknown : {"", "hwloc://", "rack", "NUMANode2", "shared_memory"}) {
    EXPECT_EQ(parse_resource(unknown), std::nullopt) << unknown;
  }
}

// The cache of a level, as the kernel tells it: by its first CPU; -1 where it does not.
int first_cpu_of_cache(int cpu, int level) {
  for (int index = 0;; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                               "/cache/index" + std::to_string(index) + "/";
    int found = 0;
    int first = -1;
    std::string type;
    if (!(std::ifstream(folder + "level") >> found)) return -1;
    std::ifstream(folder + "type") >> type;
    if (found != level || type == "Instruction") continue;
    std::ifstream(folder + "shared_cpu_list") >> first;
    return first;
  }
}

TEST(Hardware, AProcessOnOneCpuIsInOneInstanceOfEveryCache) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (!CPU_ISSET(cpu, &before) || sched_setaffinity(0, sizeof one, &one) != 0) continue;
    const Place place = place_of_this_process();
    const auto instance = [&](Resource r) { return place.instance[static_cast<std::size_t>(r)]; };
    EXPECT_EQ(instance(Resource::kPu), cpu);
    EXPECT_EQ(instance(Resource::kL1Cache), first_cpu_of_cache(cpu, 1));
    EXPECT_EQ(instance(Resource::kL2Cache), first_cpu_of_cache(cpu, 2));
    EXPECT_EQ(instance(Resource::kL3Cache), first_cpu_of_cache(cpu, 3));
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

}  // namespace
}  // namespace tern::mpi
