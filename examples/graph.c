/* graph.c - breadth-first search in a graph whose vertices are spread over the ranks.
 *
 * In every step the ranks follow the edges of the vertices found last and tell the owners of the
 * vertices at their ends. Nobody knows beforehand who will write or how much: each rank probes for
 * messages from anybody, asks for their length and receives them. A synchronous send is done when
 * its message was received, so a rank whose sends are done enters a nonblocking barrier, and when
 * that is through, no message of this step is left anywhere. At the end rank 0 searches the whole
 * graph alone and compares.
 *
 *   graph [N]     vertices, default 3000; any number of ranks
 *
 * Exit status: 0 the result is right, 1 it is not, 2 bad arguments.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { kEdges = 4, kUnknown = -1 };

static void* allocate(size_t size) {
  void* memory = malloc(size > 0 ? size : 1);
  if (memory == NULL) {
    fprintf(stderr, "graph: no memory for %zu bytes\n", size);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  return memory;
}

/* Where edge `which` of a vertex leads to: anywhere, but to every eleventh vertex, which is never
 * found. */
static int end_of_edge(int vertices, int vertex, int which) {
  unsigned x = (unsigned)vertex * kEdges + (unsigned)which;
  x = (x ^ (x >> 15)) * 2654435761u;
  x ^= x >> 13;
  const int end = (int)(x % (unsigned)vertices);
  return end % 11 == 5 ? end - 1 : end;
}

/* Vertices of this rank: those with vertex % ranks == rank; local number vertex / ranks. */
struct Search {
  int vertices, rank, ranks;
  int* steps; /* of the local vertices, kUnknown where not found */
  int* found; /* vertices found in this step */
  int found_count;
  int** outgoing; /* per rank: vertices that it owns */
  int* outgoing_count;
};

static int local_count(const struct Search* search) {
  return (search->vertices - search->rank + search->ranks - 1) / search->ranks;
}

static struct Search make_search(int vertices) {
  struct Search search = {vertices, 0, 0, NULL, NULL, 0, NULL, NULL};
  MPI_Comm_rank(MPI_COMM_WORLD, &search.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &search.ranks);
  const size_t count = (size_t)local_count(&search);
  search.steps = allocate(count * sizeof(int));
  search.found = allocate(count * sizeof(int));
  for (size_t i = 0; i < count; ++i) search.steps[i] = kUnknown;
  search.outgoing = allocate((size_t)search.ranks * sizeof(int*));
  search.outgoing_count = allocate((size_t)search.ranks * sizeof(int));
  for (int i = 0; i < search.ranks; ++i) {
    search.outgoing[i] = allocate((count * kEdges + 1) * sizeof(int));
    search.outgoing_count[i] = 0;
  }
  return search;
}

static void free_search(struct Search* search) {
  for (int i = 0; i < search->ranks; ++i) free(search->outgoing[i]);
  free(search->outgoing);
  free(search->outgoing_count);
  free(search->steps);
  free(search->found);
}

static void visit(struct Search* search, int vertex, int step) {
  int* const place = &search->steps[vertex / search->ranks];
  if (*place != kUnknown) return;
  *place = step;
  search->found[search->found_count++] = vertex;
}

/* Follows the edges of the vertices found in the last step. */
static void follow_edges(struct Search* search) {
  for (int i = 0; i < search->ranks; ++i) search->outgoing_count[i] = 0;
  for (int i = 0; i < search->found_count; ++i) {
    for (int which = 0; which < kEdges; ++which) {
      const int end = end_of_edge(search->vertices, search->found[i], which);
      const int owner = end % search->ranks;
      search->outgoing[owner][search->outgoing_count[owner]++] = end;
    }
  }
  search->found_count = 0;
}

/* Receives one message of this step if there is one, from anybody. */
static void receive_some(struct Search* search, int step) {
  int there = 0, count = 0;
  MPI_Status status;
  MPI_Iprobe(MPI_ANY_SOURCE, step % 2, MPI_COMM_WORLD, &there, &status);
  if (!there) return;
  MPI_Get_count(&status, MPI_INT, &count);
  int* const ends = allocate((size_t)count * sizeof(int));
  MPI_Recv(ends, count, MPI_INT, status.MPI_SOURCE, step % 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  for (int i = 0; i < count; ++i) visit(search, ends[i], step);
  free(ends);
}

/* Steps have alternating tags: a rank may be one step ahead of another. */
static void exchange(struct Search* search, int step) {
  MPI_Request* const sends = allocate((size_t)search->ranks * sizeof(MPI_Request));
  int sent = 0;
  for (int to = 0; to < search->ranks; ++to) {
    if (search->outgoing_count[to] == 0) continue;
    MPI_Issend(search->outgoing[to], search->outgoing_count[to], MPI_INT, to, step % 2,
               MPI_COMM_WORLD, &sends[sent++]);
  }
  MPI_Request barrier = MPI_REQUEST_NULL;
  int in_barrier = 0, finished = 0;
  while (!finished) {
    receive_some(search, step);
    if (in_barrier) {
      MPI_Test(&barrier, &finished, MPI_STATUS_IGNORE);
    } else {
      MPI_Testall(sent, sends, &in_barrier, MPI_STATUSES_IGNORE);
      if (in_barrier) MPI_Ibarrier(MPI_COMM_WORLD, &barrier);
    }
  }
  free(sends);
}

/* Returns the number of steps to the last vertex that can be found. */
static int search_together(struct Search* search) {
  if (search->rank == 0) visit(search, 0, 0);
  int step = 0, found = 1;
  while (found > 0) {
    follow_edges(search);
    exchange(search, ++step);
    MPI_Allreduce(&search->found_count, &found, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  }
  return step - 1;
}

/* Rank 0: the steps to every vertex, found alone. */
static int* search_alone(int vertices) {
  int* const steps = allocate((size_t)vertices * sizeof(int));
  int* const queue = allocate((size_t)vertices * sizeof(int));
  for (int i = 0; i < vertices; ++i) steps[i] = kUnknown;
  int first = 0, last = 0;
  queue[last++] = 0;
  steps[0] = 0;
  while (first < last) {
    const int vertex = queue[first++];
    for (int which = 0; which < kEdges; ++which) {
      const int end = end_of_edge(vertices, vertex, which);
      if (steps[end] != kUnknown) continue;
      steps[end] = steps[vertex] + 1;
      queue[last++] = end;
    }
  }
  free(queue);
  return steps;
}

/* Collects all steps at rank 0, each rank's as every ranks-th number; returns how many differ. */
static int count_differences(const struct Search* search) {
  const int ranks = search->ranks, vertices = search->vertices;
  int differences = 0;
  MPI_Request request;
  MPI_Isend(search->steps, local_count(search), MPI_INT, 0, 2, MPI_COMM_WORLD, &request);
  if (search->rank == 0) {
    int* const all = allocate((size_t)vertices * sizeof(int));
    MPI_Datatype spread;
    MPI_Type_create_resized(MPI_INT, 0, (MPI_Aint)((size_t)ranks * sizeof(int)), &spread);
    MPI_Type_commit(&spread);
    for (int from = 0; from < ranks; ++from) {
      const int count = (vertices - from + ranks - 1) / ranks;
      MPI_Recv(all + (from < vertices ? from : 0), count, spread, from, 2, MPI_COMM_WORLD,
               MPI_STATUS_IGNORE);
    }
    MPI_Type_free(&spread);
    int* const alone = search_alone(vertices);
    for (int i = 0; i < vertices; ++i) differences += all[i] != alone[i];
    free(alone);
    free(all);
  }
  MPI_Wait(&request, MPI_STATUS_IGNORE);
  MPI_Bcast(&differences, 1, MPI_INT, 0, MPI_COMM_WORLD);
  return differences;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const int vertices = argc > 1 ? atoi(argv[1]) : 3000;
  struct Search search = make_search(vertices < 1 ? 1 : vertices);
  if (vertices < search.ranks || vertices > 100000000) {
    if (search.rank == 0) {
      fprintf(stderr, "usage: graph [N], N from the number of ranks to 100000000\n");
    }
    free_search(&search);
    MPI_Finalize();
    return 2;
  }
  const double start = MPI_Wtime();
  const int steps = search_together(&search);
  const double seconds = MPI_Wtime() - start;
  const int differences = count_differences(&search);
  if (search.rank == 0) {
    printf("graph: %d vertices, %d ranks, %d steps in %.3f ms\n", vertices, search.ranks, steps,
           1e3 * seconds);
    printf("check: %s, %d vertices differ from the serial search\n",
           differences == 0 ? "right" : "WRONG", differences);
  }
  free_search(&search);
  MPI_Finalize();
  return differences == 0 ? 0 : 1;
}
