/* bench/dynamic/dynamic.c - what spawning and connecting cost, and what speed follows; plain MPI.
 *
 *   dynamic spawn COUNT CHILDREN    COUNT times: spawn CHILDREN processes, disconnect
 *   dynamic cycles COUNT            the same with one child; resources of this process at times
 *   dynamic merged ROUNDS [SHARE]   world and merged communicator in turns; 1/SHARE of the messages
 *   dynamic serve FILE COUNT        accepts COUNT clients on a port that is written to FILE
 *   dynamic connect FILE COUNT      connects COUNT times
 *
 * Prints one JSON line per measurement. Started by bench/dynamic/run.
 */
#include <dirent.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int rank, size;
static char* self;

static int by_value(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static double median(double* values, int count) {
  qsort(values, (size_t)count, sizeof *values, by_value);
  return values[count / 2];
}

static MPI_Comm spawn(int children, MPI_Comm from) {
  MPI_Comm inter = MPI_COMM_NULL;
  char mode[] = "child";
  char* arguments[] = {mode, NULL};
  MPI_Comm_spawn(self, arguments, children, MPI_INFO_NULL, 0, from, &inter, MPI_ERRCODES_IGNORE);
  return inter;
}

static void spawn_times(int count, int children) {
  double* up = malloc((size_t)count * sizeof *up);
  double* down = malloc((size_t)count * sizeof *down);
  for (int i = 0; i < count; ++i) {
    const double begin = MPI_Wtime();
    MPI_Comm inter = spawn(children, MPI_COMM_WORLD);
    const double there = MPI_Wtime();
    MPI_Comm_disconnect(&inter);
    up[i] = there - begin;
    down[i] = MPI_Wtime() - there;
  }
  if (rank == 0) {
    printf("{\"what\": \"spawn\", \"children\": %d, \"ms\": %.3f, \"disconnect_ms\": %.3f}\n",
           children, 1e3 * median(up, count), 1e3 * median(down, count));
  }
  free(up);
  free(down);
}

/* Entries of a folder of /proc/self whose links or names contain `text`. */
static int entries(const char* folder, const char* text) {
  int count = 0;
  DIR* dir = opendir(folder);
  if (dir == NULL) return -1;
  for (struct dirent* entry; (entry = readdir(dir)) != NULL;) {
    char path[512], target[512];
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    const ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0) continue;
    target[length] = '\0';
    count += strstr(target, text) != NULL;
  }
  closedir(dir);
  return count;
}

static long status_kib(const char* name) {
  char line[256];
  long value = -1;
  FILE* file = fopen("/proc/self/status", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, name, strlen(name)) == 0) value = atol(line + strlen(name) + 1);
  }
  if (file != NULL) fclose(file);
  return value;
}

static void cycles(int count) {
  const double begin = MPI_Wtime();
  for (int i = 0; i <= count; ++i) {
    if (i % (count / 10) == 0) {
      usleep(1500000); /* What was given up is let go of a few times per second. */
      printf(
          "{\"what\": \"cycles\", \"done\": %d, \"seconds\": %.1f, \"descriptors\": %d, "
          "\"resident_kib\": %ld, "
          "\"shared_kib\": %ld, \"mapped_segments\": %d}\n",
          i, MPI_Wtime() - begin, entries("/proc/self/fd", ""), status_kib("VmRSS:"),
          status_kib("RssShmem:"), entries("/proc/self/map_files", "memfd"));
      fflush(stdout);
    }
    if (i == count) break;
    MPI_Comm inter = spawn(1, MPI_COMM_WORLD);
    MPI_Comm_disconnect(&inter);
  }
}

/* Half a round trip in us (window 0), or MB/s with a window of messages. Only two ranks take part.
 */
static double speed(MPI_Comm comm, int here, int other, int bytes, int window, int rounds,
                    char* data) {
  double begin = 0;
  MPI_Request requests[64];
  for (int i = -rounds / 10; i < rounds; ++i) {
    if (i == 0) begin = MPI_Wtime();
    if (window == 0) {
      if (here == 0) MPI_Send(data, bytes, MPI_BYTE, other, 1, comm);
      MPI_Recv(data, bytes, MPI_BYTE, other, 1, comm, MPI_STATUS_IGNORE);
      if (here != 0) MPI_Send(data, bytes, MPI_BYTE, other, 1, comm);
      continue;
    }
    for (int w = 0; w < window; ++w) {
      if (here == 0) {
        MPI_Isend(data, bytes, MPI_BYTE, other, 1, comm, &requests[w]);
      } else {
        MPI_Irecv(data, bytes, MPI_BYTE, other, 1, comm, &requests[w]);
      }
    }
    MPI_Waitall(window, requests, MPI_STATUSES_IGNORE);
    if (here == 0) {
      MPI_Recv(NULL, 0, MPI_BYTE, other, 2, comm, MPI_STATUS_IGNORE);
    } else {
      MPI_Send(NULL, 0, MPI_BYTE, other, 2, comm);
    }
  }
  const double seconds = MPI_Wtime() - begin;
  return window == 0 ? 1e6 * seconds / rounds / 2 : 1e-6 * bytes * window * rounds / seconds;
}

struct Case {
  const char* name;
  int bytes, window, rounds;
};
static const struct Case kCases[] = {{"latency 8 B, us", 8, 0, 20000},
                                     {"latency 4 KiB, us", 4096, 0, 5000},
                                     {"latency 64 KiB, us", 65536, 0, 1500},
                                     {"bandwidth 64 KiB, MB/s", 65536, 32, 60},
                                     {"bandwidth 1 MiB, MB/s", 1 << 20, 8, 30}};
enum { kCaseCount = sizeof kCases / sizeof *kCases };

/* Rank 0 of the world with rank 1 of the world, and with the child, which is rank 2 of everybody.
 * The one that is not wanted sleeps in MPI_Recv. One in `share` of the usual number of messages. */
static void merged(MPI_Comm everybody, int rounds, int share) {
  int me = 0;
  MPI_Comm_rank(everybody, &me);
  char* data = calloc(1, 1 << 20);
  double* inside = malloc((size_t)rounds * sizeof *inside);
  double* across = malloc((size_t)rounds * sizeof *across);
  for (int c = 0; c < kCaseCount; ++c) {
    const struct Case* const it = &kCases[c];
    for (int round = 0; round < 2 * rounds; ++round) {
      const int partner = 1 + round % 2;
      int go = 0;
      if (me == 0) {
        MPI_Send(&go, 1, MPI_INT, partner, 9, everybody);
        const MPI_Comm comm = partner == 1 ? MPI_COMM_WORLD : everybody;
        const double value =
            speed(comm, 0, partner, it->bytes, it->window, 1 + it->rounds / share, data);
        (partner == 1 ? inside : across)[round / 2] = value;
      } else if (me == partner) {
        MPI_Recv(&go, 1, MPI_INT, 0, 9, everybody, MPI_STATUS_IGNORE);
        speed(me == 1 ? MPI_COMM_WORLD : everybody, 1, 0, it->bytes, it->window,
              1 + it->rounds / share, data);
      }
    }
    if (me != 0) continue;
    const double world = median(inside, rounds);
    const double both = median(across, rounds);
    printf(
        "{\"what\": \"merged\", \"case\": \"%s\", \"world\": %.3f, \"merged\": %.3f, \"ratio\": "
        "%.3f}\n",
        it->name, world, both, both / world);
    fflush(stdout);
  }
  free(inside);
  free(across);
  free(data);
}

static void connect_times(const char* file, int count) {
  char port[MPI_MAX_PORT_NAME] = "";
  FILE* in = fopen(file, "r");
  if (in == NULL || fgets(port, sizeof port, in) == NULL) MPI_Abort(MPI_COMM_WORLD, 2);
  fclose(in);
  port[strcspn(port, "\n")] = '\0';
  double* times = malloc((size_t)count * sizeof *times);
  for (int i = 0; i < count; ++i) {
    MPI_Comm inter = MPI_COMM_NULL;
    const double begin = MPI_Wtime();
    MPI_Comm_connect(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
    times[i] = MPI_Wtime() - begin;
    MPI_Comm_disconnect(&inter);
  }
  printf("{\"what\": \"connect\", \"count\": %d, \"ms\": %.3f}\n", count,
         1e3 * median(times, count));
  free(times);
}

static void serve(const char* file, int count) {
  char port[MPI_MAX_PORT_NAME], unfinished[4096];
  MPI_Open_port(MPI_INFO_NULL, port);
  snprintf(unfinished, sizeof unfinished, "%s.new", file);
  FILE* out = fopen(unfinished, "w");
  if (out == NULL) MPI_Abort(MPI_COMM_WORLD, 2);
  fprintf(out, "%s\n", port);
  fclose(out);
  rename(unfinished, file);
  for (int i = 0; i < count; ++i) {
    MPI_Comm inter = MPI_COMM_NULL;
    MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
    MPI_Comm_disconnect(&inter);
    if (i == count / 10 || i + 1 == count) {
      usleep(500000);
      printf("{\"what\": \"serve\", \"served\": %d, \"descriptors\": %d, \"resident_kib\": %ld}\n",
             i + 1, entries("/proc/self/fd", ""), status_kib("VmRSS:"));
      fflush(stdout);
    }
  }
  MPI_Close_port(port);
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  self = argv[0];
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm parent = MPI_COMM_NULL, all = MPI_COMM_NULL;
  MPI_Comm_get_parent(&parent);
  const char* const what = argc > 1 ? argv[1] : "";
  if (parent != MPI_COMM_NULL) {
    int plan[2] = {0, 1}; /* Rounds and share. */
    if (strcmp(what, "merge") == 0) {
      MPI_Intercomm_merge(parent, 1, &all);
      MPI_Bcast(plan, 2, MPI_INT, 0, all);
      merged(all, plan[0], plan[1]);
      MPI_Comm_free(&all);
    }
    MPI_Comm_disconnect(&parent);
  } else if (strcmp(what, "spawn") == 0 && argc == 4) {
    spawn_times(atoi(argv[2]), atoi(argv[3]));
  } else if (strcmp(what, "cycles") == 0 && argc == 3) {
    cycles(atoi(argv[2]));
  } else if (strcmp(what, "serve") == 0 && argc == 4) {
    serve(argv[2], atoi(argv[3]));
  } else if (strcmp(what, "connect") == 0 && argc == 4) {
    connect_times(argv[2], atoi(argv[3]));
  } else if (strcmp(what, "merged") == 0 && (argc == 3 || argc == 4) && size == 2) {
    int plan[2] = {atoi(argv[2]), argc == 4 && atoi(argv[3]) > 0 ? atoi(argv[3]) : 1};
    char mode[] = "merge";
    char* arguments[] = {mode, NULL};
    MPI_Comm inter = MPI_COMM_NULL;
    MPI_Comm_spawn(self, arguments, 1, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter,
                   MPI_ERRCODES_IGNORE);
    MPI_Intercomm_merge(inter, 0, &all);
    MPI_Bcast(plan, 2, MPI_INT, 0, all);
    merged(all, plan[0], plan[1]);
    MPI_Comm_free(&all);
    MPI_Comm_disconnect(&inter);
  } else if (rank == 0) {
    fprintf(stderr, "wrong arguments; see bench/dynamic/dynamic.c\n");
  }
  MPI_Finalize();
  return 0;
}
