/* bench/dynamic/dynamic.c - what spawning and connecting cost, and what speed follows; plain MPI.
 *
 *   dynamic spawn COUNT CHILDREN    COUNT times: spawn CHILDREN processes, disconnect
 *   dynamic cycles COUNT            the same with one child; resources of this process at times
 *   dynamic merged ROUNDS [SHARE [CASES]]     2 ranks: world and merged communicator in turns;
 *                                   1/SHARE of the messages; the first CASES only
 *   dynamic port FILE ROUNDS [SHARE [CASES]]  world and a client in turns: 2 ranks open the port, 1
 *                                   rank of another job connects
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
  for (int i = -2 - rounds / 10; i < rounds; ++i) {
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

/* Who takes part in a comparison: kHub talks in turns to kInside, by the world that the two share,
 * and to kOutside, by `across`. The one that is not wanted sleeps in MPI_Recv. */
enum Role { kHub, kInside, kOutside };
struct Pairs {
  const char* name;
  enum Role role;
  MPI_Comm across;
  int other; /* In `across`: the hub for kOutside, else kOutside. */
  int rounds;
  int share; /* One in so many of the usual number of messages. */
  int cases; /* The first so many. */
};

/* What the hub has been told, and tells the others. */
struct Plan {
  int rounds, share, cases;
};

static double of_one_case(const struct Pairs* pairs, const struct Case* it, enum Role partner,
                          char* data) {
  const MPI_Comm comm = partner == kInside ? MPI_COMM_WORLD : pairs->across;
  const int other = partner == kInside ? 1 - rank : pairs->other;
  int go = 0;
  /* The partner of the turn before polls for a while (20 ms over soft-RoCE) before it sleeps, and
   * there may be two cores only. */
  if (pairs->role == kHub) usleep(30000);
  if (pairs->role == kHub) MPI_Send(&go, 1, MPI_INT, other, 9, comm);
  if (pairs->role == partner) MPI_Recv(&go, 1, MPI_INT, other, 9, comm, MPI_STATUS_IGNORE);
  if (pairs->role != kHub && pairs->role != partner) return 0;
  return speed(comm, pairs->role == kHub ? 0 : 1, other, it->bytes, it->window,
               1 + it->rounds / pairs->share, data);
}

/* The ratio is the median of those of neighbours in time, which drifts do not reach; `low` and
 * `high` hold the true one in 95 of 100 runs, by the ranks that a median of so many samples may
 * have. */
static void report(const char* what, const char* name, double* inside, double* across, int rounds) {
  double* ratios = malloc((size_t)rounds * sizeof *ratios);
  for (int i = 0; i < rounds; ++i) ratios[i] = across[i] / inside[i];
  const double ratio = median(ratios, rounds);
  int off = 0; /* The standard deviation of the rank is sqrt(rounds) / 2. */
  while (off < rounds / 2 && off * off < rounds) ++off;
  printf(
      "{\"what\": \"%s\", \"case\": \"%s\", \"world\": %.3f, \"across\": %.3f, \"ratio\": %.3f, "
      "\"low\": %.3f, \"high\": %.3f}\n",
      what, name, median(inside, rounds), median(across, rounds), ratio, ratios[rounds / 2 - off],
      ratios[rounds - 1 - rounds / 2 + off]);
  fflush(stdout);
  free(ratios);
}

static void compare(const struct Pairs* pairs) {
  char* data = calloc(1, 1 << 20);
  double* inside = malloc((size_t)pairs->rounds * sizeof *inside);
  double* across = malloc((size_t)pairs->rounds * sizeof *across);
  for (int c = 0; c < pairs->cases; ++c) {
    for (int round = 0; round < pairs->rounds; ++round) {
      /* Now one first, now the other. */
      for (int turn = 0; turn < 2; ++turn) {
        const enum Role partner = turn == round % 2 ? kInside : kOutside;
        const double value = of_one_case(pairs, &kCases[c], partner, data);
        (partner == kInside ? inside : across)[round] = value;
      }
    }
    if (pairs->role == kHub) report(pairs->name, kCases[c].name, inside, across, pairs->rounds);
  }
  free(inside);
  free(across);
  free(data);
}

/* One world's ranks with each other and with a child, in a communicator merged of all three. */
static void merged(MPI_Comm inter, int is_child, struct Plan plan) {
  MPI_Comm everybody = MPI_COMM_NULL;
  MPI_Intercomm_merge(inter, is_child, &everybody);
  MPI_Bcast(&plan, 3, MPI_INT, 0, everybody);
  const struct Pairs pairs = {"merged",    is_child ? kOutside : (enum Role)rank,
                              everybody,   is_child ? 0 : 2,
                              plan.rounds, plan.share,
                              plan.cases};
  compare(&pairs);
  MPI_Comm_free(&everybody);
}

static void read_port(const char* file, char* port) {
  FILE* in = fopen(file, "r");
  if (in == NULL || fgets(port, MPI_MAX_PORT_NAME, in) == NULL) MPI_Abort(MPI_COMM_WORLD, 2);
  fclose(in);
  port[strcspn(port, "\n")] = '\0';
}

static void open_port(const char* file, char* port) {
  char unfinished[4096];
  MPI_Open_port(MPI_INFO_NULL, port);
  snprintf(unfinished, sizeof unfinished, "%s.new", file);
  FILE* out = fopen(unfinished, "w");
  if (out == NULL) MPI_Abort(MPI_COMM_WORLD, 2);
  fprintf(out, "%s\n", port);
  fclose(out);
  rename(unfinished, file);
}

/* One world's ranks with each other and with a client of a port, by the intercommunicator. */
static void port_pair(const char* file, struct Plan plan) {
  char port[MPI_MAX_PORT_NAME] = "";
  MPI_Comm inter = MPI_COMM_NULL;
  const int is_client = size == 1;
  if (is_client) {
    read_port(file, port);
    MPI_Comm_connect(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
    MPI_Recv(&plan, 3, MPI_INT, 0, 8, inter, MPI_STATUS_IGNORE);
  } else {
    if (rank == 0) open_port(file, port);
    MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
    if (rank == 0) MPI_Send(&plan, 3, MPI_INT, 0, 8, inter);
    MPI_Bcast(&plan, 3, MPI_INT, 0, MPI_COMM_WORLD);
  }
  const struct Pairs pairs = {
      "port",    is_client ? kOutside : (enum Role)rank, inter, 0, plan.rounds, plan.share,
      plan.cases};
  compare(&pairs);
  MPI_Comm_disconnect(&inter);
}

static void connect_times(const char* file, int count) {
  char port[MPI_MAX_PORT_NAME] = "";
  read_port(file, port);
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
  char port[MPI_MAX_PORT_NAME];
  open_port(file, port);
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

/* ROUNDS [SHARE [CASES]] */
static struct Plan read_plan(int count, char** words) {
  struct Plan plan = {atoi(words[0]), count > 1 ? atoi(words[1]) : 1,
                      count > 2 ? atoi(words[2]) : kCaseCount};
  if (plan.share < 1) plan.share = 1;
  if (plan.cases < 1 || plan.cases > kCaseCount) plan.cases = kCaseCount;
  return plan;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  self = argv[0];
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm parent = MPI_COMM_NULL;
  MPI_Comm_get_parent(&parent);
  const char* const what = argc > 1 ? argv[1] : "";
  if (parent != MPI_COMM_NULL) {
    if (strcmp(what, "merge") == 0) merged(parent, 1, (struct Plan){0});
    MPI_Comm_disconnect(&parent);
  } else if (strcmp(what, "spawn") == 0 && argc == 4) {
    spawn_times(atoi(argv[2]), atoi(argv[3]));
  } else if (strcmp(what, "cycles") == 0 && argc == 3) {
    cycles(atoi(argv[2]));
  } else if (strcmp(what, "serve") == 0 && argc == 4) {
    serve(argv[2], atoi(argv[3]));
  } else if (strcmp(what, "connect") == 0 && argc == 4) {
    connect_times(argv[2], atoi(argv[3]));
  } else if (strcmp(what, "merged") == 0 && argc >= 3 && size == 2) {
    char mode[] = "merge";
    char* arguments[] = {mode, NULL};
    MPI_Comm inter = MPI_COMM_NULL;
    MPI_Comm_spawn(self, arguments, 1, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter,
                   MPI_ERRCODES_IGNORE);
    merged(inter, 0, read_plan(argc - 2, argv + 2));
    MPI_Comm_disconnect(&inter);
  } else if (strcmp(what, "port") == 0 && size <= 2 && argc >= 4) {
    port_pair(argv[2], read_plan(argc - 3, argv + 3));
  } else if (rank == 0) {
    fprintf(stderr, "wrong arguments; see bench/dynamic/dynamic.c\n");
  }
  MPI_Finalize();
  return 0;
}
