// The MPI program of tests/cluster; run.py says what is expected of it.
#define _GNU_SOURCE  // sched_getaffinity
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int rank, size;

static void stop(const char* what) {
  printf("wrong: %s (rank %d)\n", what, rank);
  fflush(stdout);
  MPI_Abort(MPI_COMM_WORLD, 99);
}

// Everybody has something for everybody, in the memory of a host and between hosts.
static void talk(MPI_Comm comm) {
  int me, members;
  MPI_Comm_rank(comm, &me);
  MPI_Comm_size(comm, &members);
  int* const out = malloc(sizeof(int) * (size_t)members);
  int* const in = malloc(sizeof(int) * (size_t)members);
  for (int i = 0; i < members; ++i) out[i] = me * 1000 + i;
  MPI_Alltoall(out, 1, MPI_INT, in, 1, MPI_INT, comm);
  for (int i = 0; i < members; ++i) {
    if (in[i] != i * 1000 + me) stop("alltoall");
  }
  free(out);
  free(in);
  enum { kLong = 300000 };
  double* const sent = malloc(sizeof(double) * kLong);
  double* const received = malloc(sizeof(double) * kLong);
  for (int i = 0; i < kLong; ++i) sent[i] = me + i * 0.5;
  const int from = (me + members - 1) % members;
  MPI_Sendrecv(sent, kLong, MPI_DOUBLE, (me + 1) % members, 5, received, kLong, MPI_DOUBLE, from, 5,
               comm, MPI_STATUS_IGNORE);
  for (int i = 0; i < kLong; ++i) {
    if (received[i] != from + i * 0.5) stop("ring of long messages");
  }
  free(sent);
  free(received);
}

static void world(void) {
  MPI_Comm host;
  int sharing, found, *number;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
  MPI_Comm_size(host, &sharing);
  MPI_Comm_free(&host);
  talk(MPI_COMM_WORLD);
  MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_APPNUM, &number, &found);
  char name[256] = "", directory[4096] = "";
  gethostname(name, sizeof name - 1);
  if (getcwd(directory, sizeof directory) == NULL) stop("getcwd");
  const char* const given = getenv("GIVEN");
  printf("rank %d of %d host %s sharing %d appnum %d cwd %s given %s\n", rank, size, name, sharing,
         found ? *number : -1, directory, given == NULL ? "-" : given);
}

// Until the end, which comes from outside.
static void wait_in_mpi(void) {
  MPI_Barrier(MPI_COMM_WORLD);
  printf("ready\n");
  fflush(stdout);
  int never;
  MPI_Recv(&never, 1, MPI_INT, (rank + 1) % size, 77, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

// All to all without end, by whichever algorithm the size asks for, until there is an error.
static void exchange(void) {
  enum { kLongest = 4096 };
  int* const out = calloc((size_t)size * kLongest, sizeof(int));
  int* const in = calloc((size_t)size * kLongest, sizeof(int));
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int error = MPI_SUCCESS;
  for (long turn = 0; error == MPI_SUCCESS; ++turn) {
    const int count = turn % 2 == 0 ? 1 : kLongest;
    error = MPI_Alltoall(out, count, MPI_INT, in, count, MPI_INT, MPI_COMM_WORLD);
    if (turn == 3) {
      printf("ready\n");
      fflush(stdout);
    }
  }
  char text[MPI_MAX_ERROR_STRING], name[256] = "";
  int length, class;
  MPI_Error_string(error, text, &length);
  MPI_Error_class(error, &class);
  gethostname(name, sizeof name - 1);
  printf("rank %d host %s class %s: %s\n", rank, name,
         class == MPI_ERR_PROC_ABORTED ? "MPI_ERR_PROC_ABORTED" : "other", text);
  fflush(stdout);
  sleep(2);  // The others have their own error, not that this one has ended.
  _exit(3);
}

static void meet(MPI_Comm others) {
  MPI_Comm all;
  int flag = rank, sum = 0, members;
  MPI_Intercomm_merge(others, 0, &all);
  MPI_Comm_size(all, &members);
  MPI_Allreduce(&flag, &sum, 1, MPI_INT, MPI_SUM, all);
  talk(all);
  if (rank == 0) printf("met %d sum %d\n", members, sum);
  MPI_Comm_free(&all);
  MPI_Comm_disconnect(&others);
}

static void serve(const char* path) {
  char port[MPI_MAX_PORT_NAME] = "";
  MPI_Comm client;
  if (rank == 0) {
    MPI_Open_port(MPI_INFO_NULL, port);
    char hidden[4096];
    snprintf(hidden, sizeof hidden, "%s.new", path);
    FILE* const file = fopen(hidden, "w");
    if (file == NULL) stop("file for the port");
    fputs(port, file);
    fclose(file);
    rename(hidden, path);
  }
  MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &client);
  meet(client);
  if (rank == 0) MPI_Close_port(port);
}

static void be_client(const char* path) {
  char port[MPI_MAX_PORT_NAME] = "";
  MPI_Comm server;
  if (rank == 0) {
    FILE* const file = fopen(path, "r");
    if (file == NULL || fgets(port, sizeof port, file) == NULL) stop("file of the port");
    fclose(file);
  }
  MPI_Comm_connect(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &server);
  meet(server);
}

// How many this process may use.
static int cpus(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) stop("sched_getaffinity");
  return CPU_COUNT(&set);
}

// spawn PROGRAM COUNT [KEY VALUE]...
static void spawn(int argc, char** argv) {
  MPI_Info info;
  MPI_Info_create(&info);
  for (int i = 4; i + 1 < argc; i += 2) MPI_Info_set(info, argv[i], argv[i + 1]);
  if (rank == 0) printf("parent cpus %d\n", cpus());
  char* arguments[] = {"child", NULL};
  MPI_Comm children;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  const int error = MPI_Comm_spawn(argv[2], arguments, atoi(argv[3]), info, 0, MPI_COMM_WORLD,
                                   &children, MPI_ERRCODES_IGNORE);
  MPI_Info_free(&info);
  if (error != MPI_SUCCESS) {
    char text[MPI_MAX_ERROR_STRING];
    int length, class;
    MPI_Error_string(error, text, &length);
    MPI_Error_class(error, &class);
    if (rank == 0)
      printf("no spawn: class %s: %s\n", class == MPI_ERR_SPAWN ? "MPI_ERR_SPAWN" : "other", text);
    return;
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
  meet(children);
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const char* const task = argc > 1 ? argv[1] : "";
  if (strcmp(task, "world") == 0) world();
  if (strcmp(task, "wait") == 0) wait_in_mpi();
  if (strcmp(task, "exchange") == 0) exchange();
  if (strcmp(task, "exit") == 0 && rank == size - 1) exit(atoi(argv[2]));
  if (strcmp(task, "serve") == 0) serve(argv[2]);
  if (strcmp(task, "connect") == 0) be_client(argv[2]);
  if (strcmp(task, "spawn") == 0) spawn(argc, argv);
  if (strcmp(task, "child") == 0) {
    MPI_Comm parent;
    char name[256] = "";
    MPI_Comm_get_parent(&parent);
    gethostname(name, sizeof name - 1);
    printf("child %d of %d host %s cpus %d\n", rank, size, name, cpus());
    if (parent == MPI_COMM_NULL) stop("no parent");
    meet(parent);
  }
  MPI_Finalize();
  return 0;
}
