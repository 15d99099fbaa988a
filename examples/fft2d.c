/* fft2d.c - the two-dimensional Fourier transform of a matrix whose rows are spread over the ranks.
 *
 * Every rank transforms its rows, the matrix is transposed, and every rank transforms the rows that
 * it has then. The transposition is one MPI_Alltoall and no copying by hand: derived datatypes pick
 * columns out of the sender's rows and put them as rows in the receiver's memory. The result is
 * compared with a transform that rank 0 computes alone, and transforming back gives the input.
 *
 *   fft2d [N]     matrix of N x N, default 64, rounded up to a multiple of the number of ranks
 *
 * Exit status: 0 the result is right, 1 it is not, 2 bad arguments.
 */
#include <complex.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef double complex Number;

static const double kPi = 3.14159265358979323846;
static const double kTolerance = 1e-9; /* relative to the largest value */

static Number* allocate(size_t count) {
  Number* memory = calloc(count > 0 ? count : 1, sizeof *memory);
  if (memory == NULL) {
    fprintf(stderr, "fft2d: no memory for %zu numbers\n", count);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  return memory;
}

/* Transforms n numbers, `step` apart, into `out`. Halves even lengths; odd ones are summed up. */
static void transform(const Number* in, Number* out, int n, int step, double sign) {
  if (n % 2 != 0) {
    for (int k = 0; k < n; ++k) {
      Number sum = 0;
      for (int j = 0; j < n; ++j) {
        sum += in[j * step] * cexp(sign * 2 * kPi * I * (double)((long long)j * k % n) / n);
      }
      out[k] = sum;
    }
    return;
  }
  transform(in, out, n / 2, 2 * step, sign);
  transform(in + step, out + n / 2, n / 2, 2 * step, sign);
  for (int k = 0; k < n / 2; ++k) {
    const Number even = out[k];
    const Number odd = cexp(sign * 2 * kPi * I * k / n) * out[k + n / 2];
    out[k] = even + odd;
    out[k + n / 2] = even - odd;
  }
}

static void transform_rows(Number* matrix, int rows, int n, double sign) {
  Number* const row = allocate((size_t)n);
  for (int i = 0; i < rows; ++i) {
    transform(matrix + (size_t)i * (size_t)n, row, n, 1, sign);
    memcpy(matrix + (size_t)i * (size_t)n, row, (size_t)n * sizeof(Number));
  }
  free(row);
}

/* What the transposition sends and receives, per pair of ranks. */
struct Transposition {
  int rows;            /* of each rank */
  MPI_Datatype column; /* one column of this rank's rows; the next one begins one number later */
  MPI_Datatype square; /* rows x rows numbers as rows; the next one begins `rows` numbers later */
};

static struct Transposition make_transposition(int rows, int n) {
  struct Transposition made = {rows, MPI_DATATYPE_NULL, MPI_DATATYPE_NULL};
  MPI_Datatype column, square;
  MPI_Type_vector(rows, 1, n, MPI_C_DOUBLE_COMPLEX, &column);
  MPI_Type_create_resized(column, 0, sizeof(Number), &made.column);
  MPI_Type_commit(&made.column);
  MPI_Type_free(&column);
  MPI_Type_vector(rows, rows, n, MPI_C_DOUBLE_COMPLEX, &square);
  MPI_Type_create_resized(square, 0, (MPI_Aint)((size_t)rows * sizeof(Number)), &made.square);
  MPI_Type_commit(&made.square);
  MPI_Type_free(&square);
  return made;
}

static void transpose(const struct Transposition* plan, const Number* from, Number* to) {
  MPI_Alltoall(from, plan->rows, plan->column, to, 1, plan->square, MPI_COMM_WORLD);
}

/* sign -1: forward. The result is in `matrix`; `other` is of the same size. */
static void transform_matrix(const struct Transposition* plan, Number* matrix, Number* other, int n,
                             double sign) {
  transform_rows(matrix, plan->rows, n, sign);
  transpose(plan, matrix, other);
  transform_rows(other, plan->rows, n, sign);
  transpose(plan, other, matrix);
}

static Number input(int n, int row, int column) {
  const unsigned noise = (unsigned)(row * n + column) * 2654435761u;
  return (double)(noise >> 16) / 65536.0 - 0.5 + I * ((double)(noise & 0xffff) / 65536.0 - 0.5);
}

/* The transform of the whole matrix without any other rank. */
static Number* transform_alone(int n) {
  Number* const matrix = allocate((size_t)n * (size_t)n);
  Number* const column = allocate((size_t)n);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) matrix[i * n + j] = input(n, i, j);
  }
  transform_rows(matrix, n, n, -1);
  for (int j = 0; j < n; ++j) {
    transform(matrix + j, column, n, n, -1);
    for (int i = 0; i < n; ++i) matrix[i * n + j] = column[i];
  }
  free(column);
  return matrix;
}

static double largest_difference(const Number* a, const Number* b, size_t count) {
  double largest = 0;
  for (size_t i = 0; i < count; ++i) largest = fmax(largest, cabs(a[i] - b[i]));
  return largest;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const int wanted = argc > 1 ? atoi(argv[1]) : 64;
  if (wanted < 1 || wanted > 8192) {
    if (rank == 0) fprintf(stderr, "usage: fft2d [N], N from 1 to 8192\n");
    MPI_Finalize();
    return 2;
  }
  const int rows = (wanted + ranks - 1) / ranks, n = rows * ranks;
  const size_t count = (size_t)rows * (size_t)n;
  Number* const matrix = allocate(count);
  Number* const other = allocate(count);
  Number* const original = allocate(count);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < n; ++j) original[i * n + j] = input(n, rank * rows + i, j);
  }
  memcpy(matrix, original, count * sizeof(Number));
  struct Transposition plan = make_transposition(rows, n);

  const double start = MPI_Wtime();
  transform_matrix(&plan, matrix, other, n, -1);
  const double seconds = MPI_Wtime() - start;

  Number* const all = allocate(rank == 0 ? count * (size_t)ranks : 0);
  MPI_Gather(matrix, (int)count, MPI_C_DOUBLE_COMPLEX, all, (int)count, MPI_C_DOUBLE_COMPLEX, 0,
             MPI_COMM_WORLD);
  double differences[2] = {0, 0}, worst[2];
  if (rank == 0) {
    Number* const alone = transform_alone(n);
    differences[0] = largest_difference(all, alone, count * (size_t)ranks);
    free(alone);
  }
  transform_matrix(&plan, matrix, other, n, 1);
  for (size_t i = 0; i < count; ++i) matrix[i] /= (double)n * n;
  differences[1] = largest_difference(matrix, original, count);
  MPI_Allreduce(differences, worst, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  const int right = worst[0] < kTolerance * n && worst[1] < kTolerance;
  if (rank == 0) {
    printf("fft2d: %d x %d numbers, %d ranks, %.3f ms\n", n, n, ranks, 1e3 * seconds);
    printf("check: %s, largest difference to the serial transform %.1e, there and back %.1e\n",
           right ? "right" : "WRONG", worst[0], worst[1]);
  }
  MPI_Type_free(&plan.column);
  MPI_Type_free(&plan.square);
  free(matrix);
  free(other);
  free(original);
  free(all);
  MPI_Finalize();
  return right ? 0 : 1;
}
