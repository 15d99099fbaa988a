/* matmul.c - multiplies matrices that are spread over a grid of ranks in cycles of square blocks.
 *
 * The ranks form a grid of rows and columns, with a communicator for each. Block (i, j) of every
 * matrix belongs to the rank in grid row i modulo the rows and grid column j modulo the columns.
 * For each column of blocks of the left matrix and the same row of blocks of the right one, their
 * owners broadcast them along the grid's rows and columns, and all ranks add the product to their
 * part of the result (the SUMMA algorithm). Rank 0 collects the result with MPI_Type_create_darray,
 * which knows this distribution, and compares it with its own product.
 *
 *   matmul [N [B]]     matrices of N x N, default 75, in blocks of B x B, default 8
 *
 * Exit status: 0 the result is right, 1 it is not, 2 bad arguments.
 */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double kTolerance = 1e-9;

struct Grid {
  int rows, columns; /* of ranks */
  int row, column;   /* of this rank */
  MPI_Comm along_row, along_column;
};

/* One rank's part of an n x n matrix, row by row. */
struct Part {
  int n, block;
  int rows, columns;
  double* values;
};

static double* allocate(size_t count) {
  double* memory = calloc(count > 0 ? count : 1, sizeof *memory);
  if (memory == NULL) {
    fprintf(stderr, "matmul: no memory for %zu numbers\n", count);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  return memory;
}

/* The grid that is nearest to a square. Ranks are numbered row by row. */
static struct Grid make_grid(void) {
  struct Grid grid;
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  grid.rows = 1;
  for (int i = 1; i * i <= ranks; ++i) {
    if (ranks % i == 0) grid.rows = i;
  }
  grid.columns = ranks / grid.rows;
  grid.row = rank / grid.columns;
  grid.column = rank % grid.columns;
  MPI_Comm_split(MPI_COMM_WORLD, grid.row, grid.column, &grid.along_row);
  MPI_Comm_split(MPI_COMM_WORLD, grid.column, grid.row, &grid.along_column);
  return grid;
}

/* How many of n lines belong to place `mine` of `places`. */
static int owned_lines(int n, int block, int mine, int places) {
  int count = 0;
  for (int i = 0; i < n; ++i) count += i / block % places == mine;
  return count;
}

/* The line of the whole matrix that is line `i` here. */
static int whole_line(int i, int block, int mine, int places) {
  return (i / block * places + mine) * block + i % block;
}

static struct Part make_part(const struct Grid* grid, int n, int block) {
  struct Part part = {n, block, 0, 0, NULL};
  part.rows = owned_lines(n, block, grid->row, grid->rows);
  part.columns = owned_lines(n, block, grid->column, grid->columns);
  part.values = allocate((size_t)part.rows * (size_t)part.columns);
  return part;
}

static double element(int which, int i, int j) {
  return which == 0 ? (double)((i * 3 + j * 5) % 17) / 16 - 0.5 : (double)((i * 7 + j) % 13) / 12;
}

static void fill(const struct Grid* grid, struct Part* part, int which) {
  for (int i = 0; i < part->rows; ++i) {
    for (int j = 0; j < part->columns; ++j) {
      part->values[i * part->columns + j] =
          element(which, whole_line(i, part->block, grid->row, grid->rows),
                  whole_line(j, part->block, grid->column, grid->columns));
    }
  }
}

/* result += left * right, with k the common length. */
static void multiply(const double* left, const double* right, double* result, int rows, int columns,
                     int k) {
  for (int i = 0; i < rows; ++i) {
    for (int l = 0; l < k; ++l) {
      const double factor = left[i * k + l];
      for (int j = 0; j < columns; ++j) result[i * columns + j] += factor * right[l * columns + j];
    }
  }
}

/* Every rank gets the column of blocks `step` of its rows: the owner sends it out of its matrix,
 * the others receive it without gaps. */
static void share_columns(const struct Grid* grid, const struct Part* part, int step, int width,
                          double* panel) {
  const int owner = step % grid->columns;
  if (grid->column == owner) {
    const double* const from = part->values + step / grid->columns * part->block;
    MPI_Datatype columns;
    MPI_Type_vector(part->rows, width, part->columns, MPI_DOUBLE, &columns);
    MPI_Type_commit(&columns);
    MPI_Bcast((void*)from, 1, columns, owner, grid->along_row);
    MPI_Type_free(&columns);
    for (int i = 0; i < part->rows; ++i) {
      memcpy(panel + i * width, from + i * part->columns, (size_t)width * sizeof(double));
    }
  } else {
    MPI_Bcast(panel, part->rows * width, MPI_DOUBLE, owner, grid->along_row);
  }
}

static void share_rows(const struct Grid* grid, const struct Part* part, int step, int height,
                       double* panel) {
  const int owner = step % grid->rows;
  if (grid->row == owner && part->columns > 0) {
    memcpy(panel, part->values + step / grid->rows * part->block * part->columns,
           (size_t)(height * part->columns) * sizeof(double));
  }
  MPI_Bcast(panel, height * part->columns, MPI_DOUBLE, owner, grid->along_column);
}

static void multiply_together(const struct Grid* grid, const struct Part* left,
                              const struct Part* right, struct Part* result) {
  const int n = left->n, block = left->block;
  double* const columns = allocate((size_t)left->rows * (size_t)block);
  double* const rows = allocate((size_t)right->columns * (size_t)block);
  for (int step = 0; step * block < n; ++step) {
    const int width = n - step * block < block ? n - step * block : block;
    share_columns(grid, left, step, width, columns);
    share_rows(grid, right, step, width, rows);
    multiply(columns, rows, result->values, result->rows, result->columns, width);
  }
  free(columns);
  free(rows);
}

/* Rank 0 gets the whole matrix, each part straight to its places. */
static void collect(const struct Grid* grid, const struct Part* part, double* whole) {
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  MPI_Request request;
  MPI_Isend(part->values, part->rows * part->columns, MPI_DOUBLE, 0, 0, MPI_COMM_WORLD, &request);
  for (int from = 0; rank == 0 && from < ranks; ++from) {
    const int lengths[] = {part->n, part->n}, blocks[] = {part->block, part->block};
    const int kinds[] = {MPI_DISTRIBUTE_CYCLIC, MPI_DISTRIBUTE_CYCLIC};
    const int shape[] = {grid->rows, grid->columns};
    MPI_Datatype places;
    MPI_Type_create_darray(ranks, from, 2, lengths, kinds, blocks, shape, MPI_ORDER_C, MPI_DOUBLE,
                           &places);
    MPI_Type_commit(&places);
    /* A part without elements is an empty message. */
    const int count = owned_lines(part->n, part->block, from / grid->columns, grid->rows) > 0 &&
                      owned_lines(part->n, part->block, from % grid->columns, grid->columns) > 0;
    MPI_Recv(whole, count, places, from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Type_free(&places);
  }
  MPI_Wait(&request, MPI_STATUS_IGNORE);
}

static double compare(const double* whole, int n) {
  double* const left = allocate((size_t)n * (size_t)n);
  double* const right = allocate((size_t)n * (size_t)n);
  double* const serial = allocate((size_t)n * (size_t)n);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      left[i * n + j] = element(0, i, j);
      right[i * n + j] = element(1, i, j);
    }
  }
  multiply(left, right, serial, n, n, n);
  double largest = 0;
  for (int i = 0; i < n * n; ++i) largest = fmax(largest, fabs(whole[i] - serial[i]));
  free(left);
  free(right);
  free(serial);
  return largest;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const int n = argc > 1 ? atoi(argv[1]) : 75, block = argc > 2 ? atoi(argv[2]) : 8;
  if (n < 1 || n > 10000 || block < 1 || block > n) {
    if (rank == 0) fprintf(stderr, "usage: matmul [N [B]], N from 1 to 10000, B from 1 to N\n");
    MPI_Finalize();
    return 2;
  }
  struct Grid grid = make_grid();
  struct Part left = make_part(&grid, n, block), right = make_part(&grid, n, block),
              result = make_part(&grid, n, block);
  fill(&grid, &left, 0);
  fill(&grid, &right, 1);
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = MPI_Wtime();
  multiply_together(&grid, &left, &right, &result);
  double seconds = MPI_Wtime() - start, slowest;
  MPI_Reduce(&seconds, &slowest, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
  double* const whole = allocate(rank == 0 ? (size_t)n * (size_t)n : 0);
  collect(&grid, &result, whole);
  double difference = rank == 0 ? compare(whole, n) : 0;
  MPI_Bcast(&difference, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
  const int is_right = difference < kTolerance;
  if (rank == 0) {
    printf("matmul: %d x %d in blocks of %d on %d x %d ranks in %.3f ms\n", n, n, block, grid.rows,
           grid.columns, 1e3 * slowest);
    printf("check: %s, largest difference to the serial product %.1e\n",
           is_right ? "right" : "WRONG", difference);
  }
  free(whole);
  free(left.values);
  free(right.values);
  free(result.values);
  MPI_Comm_free(&grid.along_row);
  MPI_Comm_free(&grid.along_column);
  MPI_Finalize();
  return is_right ? 0 : 1;
}
