// tests/mpi/p2p_huge.cc - one message of more than 2^31 elements, and one of more than 2^31 bytes.
//
// Needs about 6 GB and is skipped (exit code 77) where the machine has less to spare. Two ranks.
#include <sys/mman.h>

#include "buffer.h"

#if MPI_AT_LEAST(4, 0)
namespace {

// Pages come and go as a whole, so that two ranks of this do not push each other out.
struct Memory {
  std::size_t size;
  unsigned char* bytes;
  explicit Memory(std::size_t length) : size(length) {
    void* address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bytes = address == MAP_FAILED ? nullptr : static_cast<unsigned char*>(address);
  }
  ~Memory() { munmap(bytes, size); }
};

// Every page has its mark, the ends have more.
void mark(Memory& memory) {
  for (std::size_t at = 0; at < memory.size; at += 4096)
    memory.bytes[at] = static_cast<unsigned char>(check::mix(at));
  check::fill(memory.bytes + memory.size - 1000, 1000, 7);
}
long first_wrong_page(const Memory& memory) {
  for (std::size_t at = 0; at + 1000 < memory.size; at += 4096) {
    if (memory.bytes[at] != static_cast<unsigned char>(check::mix(at)))
      return static_cast<long>(at);
  }
  return check::first_difference(memory.bytes + memory.size - 1000, 1000, 7) < 0
             ? -1
             : static_cast<long>(memory.size);
}

void transfer(MPI_Count count, MPI_Datatype type, std::size_t width) {
  Memory memory(static_cast<std::size_t>(count) * width);
  if (!EXPECT(memory.bytes != nullptr)) return;
  if (check::rank == 0) {
    mark(memory);
    EXPECT_OK(MPI_Send_c(memory.bytes, count, type, 1, 0, MPI_COMM_WORLD));
  } else {
    MPI_Status status;
    EXPECT_OK(MPI_Recv_c(memory.bytes, count, type, 0, 0, MPI_COMM_WORLD, &status));
    MPI_Count got = 0;
    int narrow = 0;
    EXPECT_OK(MPI_Get_count_c(&status, type, &got));
    EXPECT_EQ(got, count);
    EXPECT_OK(MPI_Get_count(&status, type, &narrow));
    EXPECT_EQ(narrow, count > 0x7fffffff ? MPI_UNDEFINED : static_cast<int>(count));
    EXPECT_EQ(first_wrong_page(memory), -1L);
  }
}

void more_than_an_int_of_elements() { transfer((MPI_Count{1} << 31) + 4099, MPI_BYTE, 1); }
void more_than_an_int_of_bytes() { transfer((1 << 28) + 1, MPI_DOUBLE, 8); }

long available_megabytes() {
  long kilobytes = 0;
  if (FILE* file = std::fopen("/proc/meminfo", "r")) {
    char line[128];
    while (std::fgets(line, sizeof line, file)) {
      if (std::sscanf(line, "MemAvailable: %ld", &kilobytes) == 1) break;
    }
    std::fclose(file);
  }
  return kilobytes / 1024;
}

}  // namespace

int main(int argc, char** argv) {
  if (available_megabytes() < 8000) {
    std::printf("skipped: less than 8 GB of memory available\n");
    return check::kSkip;
  }
  return check::main(argc, argv,
                     {{"more_than_an_int_of_elements", more_than_an_int_of_elements},
                      {"more_than_an_int_of_bytes", more_than_an_int_of_bytes}});
}
#else
int main() { return check::kSkip; }
#endif
