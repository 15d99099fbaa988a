// tests/mpi/env.cc - environment inquiry: clocks, memory, names, versions, threads, handle
// integers.
//
// Clock checks compare MPI_Wtime with CLOCK_MONOTONIC read around it, so they hold on any busy
// machine.
#include <cstddef>
#include <thread>

#include "check.h"

namespace {

double now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Intervals seen by both clocks nest: outer >= inner whatever the scheduler does in between.
void wtime_runs_like_the_system_clock() {
  double tick = MPI_Wtick();
  EXPECT(tick > 0 && tick < 0.01);
  double before = now(), start = MPI_Wtime(), after = now(), last = start;
  for (int i = 0; i < 200000; ++i) {
    double time = MPI_Wtime();
    if (time < last) {
      EXPECT_MSG(false, "MPI_Wtime went back from %.9f to %.9f", last, time);
      break;
    }
    last = time;
  }
  double before_end = now(), end = MPI_Wtime(), after_end = now();
  // 500 ppm and 100 us of slack for clocks of different origin and rate.
  double slack = 1e-4 + 5e-4 * (after_end - before);
  EXPECT_MSG(end - start >= before_end - after - slack && end - start <= after_end - before + slack,
             "MPI_Wtime advanced %.6f s, the system clock between %.6f and %.6f", end - start,
             before_end - after, after_end - before);
}

void allocated_memory_is_usable_and_aligned() {
  for (MPI_Aint size :
       {MPI_Aint{0}, MPI_Aint{1}, MPI_Aint{100}, MPI_Aint{5000}, MPI_Aint{10000000}}) {
    char* memory = nullptr;
    EXPECT_OK(MPI_Alloc_mem(size, MPI_INFO_NULL, &memory));
    EXPECT(reinterpret_cast<std::uintptr_t>(memory) % alignof(std::max_align_t) == 0);
    std::memset(memory, 1, static_cast<std::size_t>(size));
    EXPECT_OK(MPI_Free_mem(memory));
  }
  for (const char* alignment : {"8", "64", "4096", "65536"}) {
    MPI_Info info;
    MPI_Info_create(&info);
    MPI_Info_set(info, "mpi_minimum_memory_alignment", alignment);
    char* memory = nullptr;
    EXPECT_OK(MPI_Alloc_mem(1000, info, &memory));
    // Standard since MPI 4.0; 4.0's MPICH takes the key without following it.
    if (!check::library_is("MPICH")) {
      EXPECT_MSG(reinterpret_cast<std::uintptr_t>(memory) % std::atoi(alignment) == 0,
                 "%p is not aligned to %s", static_cast<void*>(memory), alignment);
    }
    std::memset(memory, 1, 1000);
    EXPECT_OK(MPI_Free_mem(memory));
    MPI_Info_free(&info);
  }
}

void names_and_versions() {
  char name[MPI_MAX_PROCESSOR_NAME + 1], host[256] = "";
  int length = -1, version = 0, subversion = -1;
  EXPECT_OK(MPI_Get_processor_name(name, &length));
  EXPECT(length > 0 && length < MPI_MAX_PROCESSOR_NAME && name[length] == '\0');
  EXPECT_EQ(length, static_cast<int>(std::strlen(name)));
  gethostname(host, sizeof host - 1);
  EXPECT_MSG(std::strncmp(name, host, std::strcspn(host, ".")) == 0,
             "processor name \"%s\" on host \"%s\"", name, host);
  EXPECT_OK(MPI_Get_version(&version, &subversion));
  EXPECT_EQ(version, MPI_VERSION);
  EXPECT_EQ(subversion, MPI_SUBVERSION);
  char library[MPI_MAX_LIBRARY_VERSION_STRING];
  EXPECT_OK(MPI_Get_library_version(library, &length));
  EXPECT(length > 0 && length < MPI_MAX_LIBRARY_VERSION_STRING);
  EXPECT_EQ(length, static_cast<int>(std::strlen(library)));
}

void initialized_and_finalized() {
  int flag = 0;
  EXPECT_OK(MPI_Initialized(&flag));
  EXPECT_EQ(flag, 1);
  EXPECT_OK(MPI_Finalized(&flag));
  EXPECT_EQ(flag, 0);
}

void thread_queries() {
  int provided = -1, flag = -1;
  EXPECT_OK(MPI_Query_thread(&provided));
  EXPECT(provided >= MPI_THREAD_FUNNELED && provided <= MPI_THREAD_MULTIPLE);
  EXPECT_OK(MPI_Is_thread_main(&flag));
  EXPECT_EQ(flag, 1);
  std::thread other([] {  // These two may be called from any thread at any level.
    int flag = -1, provided = -1;
    EXPECT_OK(MPI_Is_thread_main(&flag));
    EXPECT_EQ(flag, 0);
    EXPECT_OK(MPI_Query_thread(&provided));
    EXPECT_OK(MPI_Initialized(&flag));
    EXPECT_EQ(flag, 1);
  });
  other.join();
  static_assert(MPI_THREAD_SINGLE < MPI_THREAD_FUNNELED &&
                MPI_THREAD_FUNNELED < MPI_THREAD_SERIALIZED &&
                MPI_THREAD_SERIALIZED < MPI_THREAD_MULTIPLE);
}

void profiling_control_is_harmless() {
  EXPECT_OK(MPI_Pcontrol(0));
  EXPECT_OK(MPI_Pcontrol(1));
}

// Every function has a second name for tools.
void profiling_names_do_the_same() {
  int rank = -1, value = check::rank, got = -1;
  EXPECT_OK(PMPI_Comm_rank(MPI_COMM_WORLD, &rank));
  EXPECT_EQ(rank, check::rank);
  EXPECT_OK(PMPI_Sendrecv(&value, 1, MPI_INT, check::rank, 0, &got, 1, MPI_INT, check::rank, 0,
                          MPI_COMM_WORLD, MPI_STATUS_IGNORE));
  EXPECT_EQ(got, value);
}

#if MPI_VERSION >= 5
void abi_version() {
  int major = -1, minor = -1;
  EXPECT_OK(MPI_Abi_get_version(&major, &minor));
  EXPECT_EQ(major, MPI_ABI_VERSION);
  EXPECT_EQ(minor, MPI_ABI_SUBVERSION);
}

void fortran_facts() {
  MPI_Info info;
  char value[32] = "";
  int length = sizeof value, flag = 0, is_set = 0, yes = 7, no = 7;
  EXPECT_OK(MPI_Abi_get_fortran_info(&info));
  EXPECT_OK(MPI_Info_get_string(info, "mpi_integer_size", &length, value, &flag));
  EXPECT(flag && std::string(value) == "4");
  EXPECT_OK(MPI_Abi_set_fortran_info(info));  // What holds already.
  EXPECT_OK(MPI_Info_free(&info));
  EXPECT_OK(MPI_Abi_get_fortran_booleans(4, &yes, &no, &is_set));
  EXPECT(is_set && yes == 1 && no == 0);
  EXPECT_OK(MPI_Abi_set_fortran_booleans(4, &yes, &no));
}

void hardware_resources() {
  MPI_Info info;
  char value[32] = "";
  int length = sizeof value, flag = 0, keys = 0;
  EXPECT_OK(MPI_Get_hw_resource_info(&info));
  EXPECT_OK(MPI_Info_get_nkeys(info, &keys));
  EXPECT(keys > 0);
  EXPECT_OK(MPI_Info_get_string(info, "mpi_shared_memory", &length, value, &flag));
  EXPECT(flag && std::string(value) == "true");
  EXPECT_OK(MPI_Info_free(&info));
}

// Handles survive the way through an int, predefined and created ones.
void handles_as_integers() {
  for (MPI_Comm comm : {MPI_COMM_WORLD, MPI_COMM_SELF, MPI_COMM_NULL}) {
    EXPECT(MPI_Comm_fromint(MPI_Comm_toint(comm)) == comm);
  }
  MPI_Comm comms[20];
  for (MPI_Comm& comm : comms) MPI_Comm_dup(MPI_COMM_SELF, &comm);
  for (int i = 0; i < 20; ++i) {
    EXPECT(MPI_Comm_fromint(MPI_Comm_toint(comms[i])) == comms[i]);
    for (int k = 0; k < i; ++k) EXPECT(MPI_Comm_toint(comms[k]) != MPI_Comm_toint(comms[i]));
  }
  for (MPI_Comm& comm : comms) MPI_Comm_free(&comm);
  for (MPI_Datatype type : {MPI_INT, MPI_DOUBLE_INT, MPI_BYTE, MPI_DATATYPE_NULL}) {
    EXPECT(MPI_Type_fromint(MPI_Type_toint(type)) == type);
  }
  for (MPI_Op op : {MPI_SUM, MPI_MAXLOC, MPI_OP_NULL})
    EXPECT(MPI_Op_fromint(MPI_Op_toint(op)) == op);
  for (MPI_Errhandler handler : {MPI_ERRORS_RETURN, MPI_ERRORS_ARE_FATAL, MPI_ERRHANDLER_NULL}) {
    EXPECT(MPI_Errhandler_fromint(MPI_Errhandler_toint(handler)) == handler);
  }
  MPI_Group group;
  MPI_Comm_group(MPI_COMM_WORLD, &group);
  EXPECT(MPI_Group_fromint(MPI_Group_toint(group)) == group);
  MPI_Group_free(&group);
  MPI_Info info;
  MPI_Info_create(&info);
  EXPECT(MPI_Info_fromint(MPI_Info_toint(info)) == info);
  MPI_Info_free(&info);
  int value = 0;
  MPI_Request request;
  MPI_Irecv(&value, 1, MPI_INT, 0, 0, MPI_COMM_SELF, &request);
  EXPECT(MPI_Request_fromint(MPI_Request_toint(request)) == request);
  MPI_Cancel(&request);
  MPI_Wait(&request, MPI_STATUS_IGNORE);
  EXPECT(MPI_Request_fromint(MPI_Request_toint(MPI_REQUEST_NULL)) == MPI_REQUEST_NULL);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  return check::main(
      argc, argv,
      {
        {"wtime_runs_like_the_system_clock", wtime_runs_like_the_system_clock},
            {"allocated_memory_is_usable_and_aligned", allocated_memory_is_usable_and_aligned},
            {"names_and_versions", names_and_versions},
            {"initialized_and_finalized", initialized_and_finalized},
            {"thread_queries", thread_queries},
            {"profiling_control_is_harmless", profiling_control_is_harmless},
#if MPI_VERSION >= 5
            {"abi_version", abi_version}, {"fortran_facts", fortran_facts},
            {"hardware_resources", hardware_resources},
            {"handles_as_integers", handles_as_integers},
#endif
        {
          "profiling_names_do_the_same", profiling_names_do_the_same
        }
      },
      MPI_THREAD_FUNNELED);
}
