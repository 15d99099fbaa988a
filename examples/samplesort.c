/* samplesort.c - sorts numbers that are spread over the ranks.
 *
 * Every rank sorts its numbers and shows a sample of them. From all samples follow the values that
 * divide the numbers between the ranks; one MPI_Alltoall tells how many go where, one MPI_Alltoallv
 * moves them, and every rank sorts what it got. At the end rank 0 collects the result and compares
 * it with what qsort() makes of all numbers.
 *
 *   samplesort [N]     numbers per rank, on average; default 20000
 *
 * Exit status: 0 the result is right, 1 it is not, 2 bad arguments.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { kSamplesPerRank = 64 };

static void* allocate(size_t size) {
  void* memory = malloc(size > 0 ? size : 1);
  if (memory == NULL) {
    fprintf(stderr, "samplesort: no memory for %zu bytes\n", size);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  return memory;
}

static int compare(const void* a, const void* b) {
  const int64_t x = *(const int64_t*)a, y = *(const int64_t*)b;
  return (x > y) - (x < y);
}

static void sort(int64_t* numbers, int count) {
  qsort(numbers, (size_t)count, sizeof *numbers, compare);
}

/* Numbers with many small values among them, so that the division is not easy. */
static int64_t number(int rank, int i) {
  uint64_t x = ((uint64_t)rank << 32) + (uint64_t)i + 1;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  return (int64_t)(x % 4 == 0 ? x % 100 : x >> 20) - 1000;
}

/* Each rank has another count. */
static int count_of(int rank, int average) {
  return average - average / 4 + rank * 7919 % (average / 2 + 1);
}

/* ranks - 1 values: rank i gets what is below value i and not below value i - 1. */
static int64_t* choose_dividers(const int64_t* sorted, int count, int ranks) {
  int64_t mine[kSamplesPerRank];
  for (int i = 0; i < kSamplesPerRank; ++i) {
    mine[i] = sorted[(long long)count * i / kSamplesPerRank];
  }
  const int samples = kSamplesPerRank * ranks;
  int64_t* const all = allocate((size_t)samples * sizeof *all);
  MPI_Allgather(mine, kSamplesPerRank, MPI_INT64_T, all, kSamplesPerRank, MPI_INT64_T,
                MPI_COMM_WORLD);
  sort(all, samples);
  for (int i = 1; i < ranks; ++i) all[i - 1] = all[i * kSamplesPerRank];
  return all;
}

static int add_up(const int* counts, int* places, int ranks) {
  int total = 0;
  for (int i = 0; i < ranks; ++i) {
    places[i] = total;
    total += counts[i];
  }
  return total;
}

/* Replaces the numbers by those that belong here, sorted; returns how many they are. */
static int sort_together(int64_t** numbers, int count) {
  int ranks;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  int* const lists = allocate(4 * (size_t)ranks * sizeof(int));
  int *sent = lists, *sent_places = lists + ranks, *got = lists + 2 * ranks,
      *got_places = lists + 3 * ranks;
  sort(*numbers, count);
  int64_t* const dividers = choose_dividers(*numbers, count, ranks);
  int next = 0;
  for (int i = 0; i < ranks; ++i) {
    const int begin = next;
    while (next < count && (i == ranks - 1 || (*numbers)[next] < dividers[i])) ++next;
    sent[i] = next - begin;
  }
  MPI_Alltoall(sent, 1, MPI_INT, got, 1, MPI_INT, MPI_COMM_WORLD);
  add_up(sent, sent_places, ranks);
  const int total = add_up(got, got_places, ranks);
  int64_t* const mine = allocate((size_t)total * sizeof *mine);
  MPI_Alltoallv(*numbers, sent, sent_places, MPI_INT64_T, mine, got, got_places, MPI_INT64_T,
                MPI_COMM_WORLD);
  sort(mine, total);
  free(*numbers);
  *numbers = mine;
  free(dividers);
  free(lists);
  return total;
}

/* Whether the ranks' numbers, one after the other, are all numbers in order. */
static int is_right(const int64_t* numbers, int count, int average) {
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  int* const counts = allocate(2 * (size_t)ranks * sizeof(int));
  MPI_Gather(&count, 1, MPI_INT, counts, 1, MPI_INT, 0, MPI_COMM_WORLD);
  const int total = rank == 0 ? add_up(counts, counts + ranks, ranks) : 0;
  int64_t* const all = allocate((size_t)total * sizeof *all);
  MPI_Gatherv(numbers, count, MPI_INT64_T, all, counts, counts + ranks, MPI_INT64_T, 0,
              MPI_COMM_WORLD);
  int right = 1;
  if (rank == 0) {
    int expected = 0;
    for (int i = 0; i < ranks; ++i) expected += count_of(i, average);
    int64_t* const serial = allocate((size_t)expected * sizeof *serial);
    int next = 0;
    for (int i = 0; i < ranks; ++i) {
      for (int j = 0; j < count_of(i, average); ++j) serial[next++] = number(i, j);
    }
    sort(serial, expected);
    right = total == expected;
    for (int i = 0; right && i < total; ++i) right = all[i] == serial[i];
    free(serial);
  }
  MPI_Bcast(&right, 1, MPI_INT, 0, MPI_COMM_WORLD);
  free(all);
  free(counts);
  return right;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const int average = argc > 1 ? atoi(argv[1]) : 20000;
  if (average < 2 || average > 100000000 / ranks) {
    if (rank == 0) fprintf(stderr, "usage: samplesort [N], N from 2 to %d\n", 100000000 / ranks);
    MPI_Finalize();
    return 2;
  }
  int count = count_of(rank, average);
  int64_t* numbers = allocate((size_t)count * sizeof *numbers);
  for (int i = 0; i < count; ++i) numbers[i] = number(rank, i);
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = MPI_Wtime();
  count = sort_together(&numbers, count);
  double seconds = MPI_Wtime() - start, slowest;
  MPI_Reduce(&seconds, &slowest, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
  const int right = is_right(numbers, count, average);
  if (rank == 0) {
    printf("samplesort: about %d numbers on each of %d ranks in %.3f ms\n", average, ranks,
           1e3 * slowest);
    printf("check: %s\n", right ? "right, as qsort() sorts them" : "WRONG");
  }
  free(numbers);
  MPI_Finalize();
  return right ? 0 : 1;
}
