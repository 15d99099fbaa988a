/* probe.c - how far apart two cores are: a cache line goes to and fro between them. No MPI.
 *
 * usage: probe CPU OTHER_CPU
 * Prints the nanoseconds of half a round trip: the fastest of several bursts, so that another
 * program passing by does not count. About 100 between cores of one chip, 9 to 17 between two
 * hyper-threads of one core. Exit status 1: a processor cannot be used, 2: bad arguments.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Together longer than a time slice: one burst at least has both cores to itself. */
enum { kTrips = 1000, kBursts = 80 };

/* Alone on its line (and the neighbour that prefetchers bring along). */
static struct {
  char before[128];
  atomic_int ball;
  char after[128];
} table;

static int pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static void* answer(void* argument) {
  if (pin_to(*(int*)argument) != 0) return argument;
  for (int trip = 0; trip < kTrips * kBursts; ++trip) {
    while (atomic_load_explicit(&table.ball, memory_order_acquire) != 2 * trip + 1) continue;
    atomic_store_explicit(&table.ball, 2 * trip + 2, memory_order_release);
  }
  return NULL;
}

static double nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char** argv) {
  int cpus[2] = {argc == 3 ? atoi(argv[1]) : 0, argc == 3 ? atoi(argv[2]) : 0};
  if (cpus[0] == cpus[1]) {
    fprintf(stderr, "usage: probe CPU OTHER_CPU\n");
    return 2;
  }
  /* Tried here first: a partner that cannot be pinned would never answer. */
  if (pin_to(cpus[1]) != 0 || pin_to(cpus[0]) != 0) {
    fprintf(stderr, "probe: processors %d and %d cannot both be used\n", cpus[0], cpus[1]);
    return 1;
  }
  pthread_t partner;
  if (pthread_create(&partner, NULL, answer, &cpus[1]) != 0) return 1;
  double fastest = 1e12;
  for (int burst = 0, trip = 0; burst < kBursts; ++burst) {
    const double start = nanoseconds();
    for (int i = 0; i < kTrips; ++i, ++trip) {
      atomic_store_explicit(&table.ball, 2 * trip + 1, memory_order_release);
      while (atomic_load_explicit(&table.ball, memory_order_acquire) != 2 * trip + 2) continue;
    }
    const double half_trip = (nanoseconds() - start) / kTrips / 2;
    if (half_trip < fastest) fastest = half_trip;
  }
  pthread_join(partner, NULL);
  printf("%.1f\n", fastest);
  return 0;
}
