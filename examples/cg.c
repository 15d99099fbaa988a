/* cg.c - the conjugate gradient method for a sparse system of equations.
 *
 * The matrix is that of a 5-point stencil on a grid of n x n points with a coefficient that varies
 * from point to point; its rows are cut into strips of grid lines, one per rank. Each iteration
 * exchanges the strips' edges with both neighbours and adds up two scalar products over all ranks.
 * At the end rank 0 collects the solution, solves the same system alone and compares.
 *
 *   cg [N]        grid of N x N points, default 48; any number of ranks, also more than lines
 *
 * Exit status: 0 the solution is right, 1 it is not, 2 bad arguments.
 */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double kReduction = 1e-12; /* of the squared residual */
static const double kTolerance = 1e-6;  /* between the two solutions, which sum in other orders */
static const int kIterationsMax = 2000;

/* Grid lines [first, first + lines) of n points each. Vectors that are multiplied with the matrix
 * have one more line before and one behind: the neighbours' edges, or zeros. */
struct Strip {
  int n, first, lines;
  MPI_Comm comm;
  int before, behind; /* ranks */
};

static double* allocate(size_t count) {
  double* memory = calloc(count > 0 ? count : 1, sizeof *memory);
  if (memory == NULL) {
    fprintf(stderr, "cg: no memory for %zu numbers\n", count);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  return memory;
}

static int first_line(int n, int rank, int ranks) { return (int)((long long)n * rank / ranks); }

static struct Strip make_strip(int n, MPI_Comm comm) {
  int rank, ranks;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &ranks);
  struct Strip strip = {n, first_line(n, rank, ranks), 0, comm, MPI_PROC_NULL, MPI_PROC_NULL};
  strip.lines = first_line(n, rank + 1, ranks) - strip.first;
  if (strip.lines == 0) return strip;
  /* Ranks without lines are skipped. */
  for (int i = rank - 1; i >= 0 && strip.before == MPI_PROC_NULL; --i) {
    if (first_line(n, i + 1, ranks) > first_line(n, i, ranks)) strip.before = i;
  }
  for (int i = rank + 1; i < ranks && strip.behind == MPI_PROC_NULL; ++i) {
    if (first_line(n, i + 1, ranks) > first_line(n, i, ranks)) strip.behind = i;
  }
  return strip;
}

/* The coefficient of a point: between 4 and 5, so that the matrix is positive definite. */
static double coefficient(int n, int line, int column) {
  return 4.0 + (double)((line * 7 + column * 13) % n) / n;
}

static double right_side(int n, int line, int column) {
  return sin(0.1 * line) + cos(0.2 * column) + (double)(line * column % 5) / n;
}

static void exchange_edges(const struct Strip* strip, double* vector) {
  const int n = strip->n;
  double* const first = vector + n;
  double* const last = vector + (size_t)strip->lines * (size_t)n;
  MPI_Sendrecv(first, n, MPI_DOUBLE, strip->before, 0, last + n, n, MPI_DOUBLE, strip->behind, 0,
               strip->comm, MPI_STATUS_IGNORE);
  MPI_Sendrecv(last, n, MPI_DOUBLE, strip->behind, 1, vector, n, MPI_DOUBLE, strip->before, 1,
               strip->comm, MPI_STATUS_IGNORE);
}

/* result = matrix * vector; vector has its edges, result has none. */
static void multiply(const struct Strip* strip, const double* vector, double* result) {
  const int n = strip->n;
  for (int line = 0; line < strip->lines; ++line) {
    const double* const here = vector + (size_t)(line + 1) * (size_t)n;
    for (int column = 0; column < n; ++column) {
      double sum = coefficient(n, strip->first + line, column) * here[column];
      sum -= here[column - n] + here[column + n];
      if (column > 0) sum -= here[column - 1];
      if (column < n - 1) sum -= here[column + 1];
      result[(size_t)line * (size_t)n + (size_t)column] = sum;
    }
  }
}

static double scalar_product(const struct Strip* strip, const double* a, const double* b) {
  double mine = 0, all = 0;
  const size_t count = (size_t)strip->lines * (size_t)strip->n;
  for (size_t i = 0; i < count; ++i) mine += a[i] * b[i];
  MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, strip->comm);
  return all;
}

/* Solves for this strip's part of the solution; returns the number of iterations. */
static int solve(const struct Strip* strip, double* solution) {
  const int n = strip->n;
  const size_t count = (size_t)strip->lines * (size_t)n;
  double* const residual = allocate(count);
  double* const product = allocate(count);
  double* const with_edges = allocate(count + 2 * (size_t)n);
  double* const direction = with_edges + n;
  for (int line = 0; line < strip->lines; ++line) {
    for (int column = 0; column < n; ++column) {
      residual[line * n + column] = right_side(n, strip->first + line, column);
    }
  }
  memcpy(direction, residual, count * sizeof(double));
  double square = scalar_product(strip, residual, residual);
  const double goal = square * kReduction;
  int iterations = 0;
  while (square > goal && iterations < kIterationsMax) {
    if (strip->lines > 0) exchange_edges(strip, with_edges);
    multiply(strip, with_edges, product);
    const double step = square / scalar_product(strip, direction, product);
    for (size_t i = 0; i < count; ++i) {
      solution[i] += step * direction[i];
      residual[i] -= step * product[i];
    }
    const double before = square;
    square = scalar_product(strip, residual, residual);
    for (size_t i = 0; i < count; ++i) {
      direction[i] = residual[i] + square / before * direction[i];
    }
    ++iterations;
  }
  free(residual);
  free(product);
  free(with_edges);
  return iterations;
}

/* Collects the solution at rank 0, which solves alone and compares; returns the difference. */
static double compare(const struct Strip* strip, const double* solution) {
  int rank, ranks;
  MPI_Comm_rank(strip->comm, &rank);
  MPI_Comm_size(strip->comm, &ranks);
  const int n = strip->n;
  double* const all = allocate(rank == 0 ? (size_t)n * (size_t)n : 0);
  int* const counts = malloc((size_t)ranks * sizeof(int));
  int* const places = malloc((size_t)ranks * sizeof(int));
  for (int i = 0; i < ranks; ++i) {
    places[i] = first_line(n, i, ranks) * n;
    counts[i] = first_line(n, i + 1, ranks) * n - places[i];
  }
  MPI_Gatherv(solution, strip->lines * n, MPI_DOUBLE, all, counts, places, MPI_DOUBLE, 0,
              strip->comm);
  double difference = 0;
  if (rank == 0) {
    const struct Strip whole = make_strip(n, MPI_COMM_SELF);
    double* const serial = allocate((size_t)n * (size_t)n);
    solve(&whole, serial);
    for (int i = 0; i < n * n; ++i) difference = fmax(difference, fabs(all[i] - serial[i]));
    free(serial);
  }
  MPI_Bcast(&difference, 1, MPI_DOUBLE, 0, strip->comm);
  free(all);
  free(counts);
  free(places);
  return difference;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const int n = argc > 1 ? atoi(argv[1]) : 48;
  if (n < 1 || n > 20000) {
    if (rank == 0) fprintf(stderr, "usage: cg [N], N from 1 to 20000\n");
    MPI_Finalize();
    return 2;
  }
  const struct Strip strip = make_strip(n, MPI_COMM_WORLD);
  double* const solution = allocate((size_t)strip.lines * (size_t)n);
  const double start = MPI_Wtime();
  const int iterations = solve(&strip, solution);
  const double seconds = MPI_Wtime() - start;
  const double difference = compare(&strip, solution);
  const int right = difference < kTolerance && iterations < kIterationsMax;
  if (rank == 0) {
    printf("cg: %d x %d points, %d ranks, %d iterations in %.3f ms\n", n, n, ranks, iterations,
           1e3 * seconds);
    printf("check: %s, largest difference to the serial solution %.1e\n", right ? "right" : "WRONG",
           difference);
  }
  free(solution);
  MPI_Finalize();
  return right ? 0 : 1;
}
