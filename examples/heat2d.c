/* heat2d.c - heat spreads over a plate: a 2-D five-point stencil with halo exchange.
 *
 * A small but real application. The plate of nx x ny points is cut into blocks, one per rank; in
 * each time step the ranks exchange the edges of their blocks with nonblocking messages and compute
 * the inner points while the messages travel. At the end rank 0 collects the blocks, computes the
 * same problem alone and compares the two.
 *
 * Runs on any number of ranks: also when it does not divide the plate evenly, when it is a prime,
 * and when there are more ranks than points (the ranks too many then only take part in
 * collectives).
 *
 * Exit status: 0 the result is right, 1 it differs from the serial one, 2 bad arguments.
 */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One point's share of the difference to its neighbours per step. Above 1/4 the explicit scheme is
 * unstable. */
static const double kDiffusion = 0.24;

/* The blocks compute every point with the serial program's formula, so they should agree to the
 * last bit; the allowance is for compilers that fuse multiply and add differently per loop. */
static const double kTolerance = 1e-12;

static const double kHot = 100.0;

struct Options {
  int nx, ny; /* inner points of the plate; its rim has fixed temperatures */
  int steps;
  int report; /* steps between two residuals */
  int check;  /* compare with the serial solution */
};

/* A block of the plate: points [x0, x0+nx) x [y0, y0+ny), stored with a rim of one point on every
 * side that holds the neighbours' values or the plate's fixed temperatures. */
struct Block {
  int x0, y0, nx, ny;
  double* now;
  double* next;
};

/* How the ranks tile the plate: columns x rows of blocks. Ranks >= columns * rows have none. */
struct Grid {
  int columns, rows;
};

enum Side { kWest, kEast, kNorth, kSouth, kSides };

static size_t at(const struct Block* block, int x, int y) {
  return (size_t)(y + 1) * (size_t)(block->nx + 2) + (size_t)(x + 1);
}

static int is_empty(const struct Block* block) { return block->nx == 0 || block->ny == 0; }

static double* allocate(size_t count) {
  double* memory = calloc(count > 0 ? count : 1, sizeof *memory);
  if (memory == NULL) {
    fprintf(stderr, "heat2d: no memory for %zu numbers\n", count);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  return memory;
}

/* Chooses the tiling with the shortest total edge, hence the least data to exchange. Leaves ranks
 * out only when no tiling gives each of them a point. */
static struct Grid choose_grid(int ranks, int nx, int ny) {
  for (int used = ranks; used > 0; --used) {
    struct Grid best = {0, 0};
    double best_edge = 0;
    for (int columns = 1; columns <= used && columns <= nx; ++columns) {
      const int rows = used / columns;
      if (rows * columns != used || rows > ny) continue;
      const double edge = (double)(columns - 1) * ny + (double)(rows - 1) * nx;
      if (best.columns == 0 || edge < best_edge) {
        best = (struct Grid){columns, rows};
        best_edge = edge;
      }
    }
    if (best.columns > 0) return best;
  }
  return (struct Grid){1, 1};
}

/* First point of part `index` when `points` are dealt out to `parts` as evenly as possible. */
static int part_start(int points, int parts, int index) {
  return (int)((long long)points * index / parts);
}

/* The place and extent of a rank's block; every rank can compute everybody's. */
static struct Block block_of(int rank, struct Grid grid, int nx, int ny) {
  struct Block block = {0, 0, 0, 0, NULL, NULL};
  if (rank >= grid.columns * grid.rows) return block;
  const int column = rank % grid.columns, row = rank / grid.columns;
  block.x0 = part_start(nx, grid.columns, column);
  block.y0 = part_start(ny, grid.rows, row);
  block.nx = part_start(nx, grid.columns, column + 1) - block.x0;
  block.ny = part_start(ny, grid.rows, row + 1) - block.y0;
  return block;
}

/* Temperature at the start, also of the rim (-1 and nx, ny), where it never changes: a hot upper
 * edge and a warm disc on a cold plate. */
static double initial(int x, int y, int nx, int ny) {
  if (y == -1) return kHot;
  if (x == -1 || x == nx || y == ny) return 0.0;
  const double dx = (x - 0.65 * nx) / nx, dy = (y - 0.6 * ny) / ny;
  return dx * dx + dy * dy < 0.02 ? 0.8 * kHot : 0.0;
}

static void create_fields(struct Block* block, int nx, int ny) {
  const size_t count = (size_t)(block->nx + 2) * (size_t)(block->ny + 2);
  block->now = allocate(count);
  block->next = allocate(count);
  for (int y = -1; y <= block->ny; ++y)
    for (int x = -1; x <= block->nx; ++x)
      block->now[at(block, x, y)] = block->next[at(block, x, y)] =
          initial(block->x0 + x, block->y0 + y, nx, ny);
}

static void destroy_fields(struct Block* block) {
  free(block->now);
  free(block->next);
}

/* Computes next from now for points [x_begin, x_end) x [y_begin, y_end). */
static void update(const struct Block* block, int x_begin, int x_end, int y_begin, int y_end) {
  for (int y = y_begin; y < y_end; ++y) {
    const double* middle = &block->now[at(block, 0, y)];
    const double* above = &block->now[at(block, 0, y - 1)];
    const double* below = &block->now[at(block, 0, y + 1)];
    double* result = &block->next[at(block, 0, y)];
    for (int x = x_begin; x < x_end; ++x)
      result[x] = middle[x] + kDiffusion * ((middle[x - 1] + middle[x + 1]) +
                                            (above[x] + below[x]) - 4.0 * middle[x]);
  }
}

static void update_inside(const struct Block* block) {
  update(block, 1, block->nx - 1, 1, block->ny - 1);
}

static void update_edge(const struct Block* block) {
  update(block, 0, block->nx, 0, 1);
  if (block->ny > 1) update(block, 0, block->nx, block->ny - 1, block->ny);
  update(block, 0, 1, 1, block->ny - 1);
  if (block->nx > 1) update(block, block->nx - 1, block->nx, 1, block->ny - 1);
}

static void swap_fields(struct Block* block) {
  double* const now = block->now;
  block->now = block->next;
  block->next = now;
}

static double change_squared(const struct Block* block) {
  double sum = 0;
  for (int y = 0; y < block->ny; ++y)
    for (int x = 0; x < block->nx; ++x) {
      const double change = block->next[at(block, x, y)] - block->now[at(block, x, y)];
      sum += change * change;
    }
  return sum;
}

/* The halo exchange of one block: neighbours and staging memory. Columns of a block are not
 * contiguous and are packed by hand; rows use the same way for simplicity. */
struct Halo {
  int neighbor[kSides]; /* MPI_PROC_NULL at the plate's rim */
  int length[kSides];
  double* send[kSides];
  double* receive[kSides];
  MPI_Request requests[2 * kSides];
};

static void create_halo(struct Halo* halo, const struct Block* block, struct Grid grid, int rank) {
  const int column = rank % grid.columns, row = rank / grid.columns;
  const int used = !is_empty(block);
  halo->neighbor[kWest] = used && column > 0 ? rank - 1 : MPI_PROC_NULL;
  halo->neighbor[kEast] = used && column + 1 < grid.columns ? rank + 1 : MPI_PROC_NULL;
  halo->neighbor[kNorth] = used && row > 0 ? rank - grid.columns : MPI_PROC_NULL;
  halo->neighbor[kSouth] = used && row + 1 < grid.rows ? rank + grid.columns : MPI_PROC_NULL;
  for (int side = 0; side < kSides; ++side) {
    halo->length[side] = side == kWest || side == kEast ? block->ny : block->nx;
    halo->send[side] = allocate((size_t)halo->length[side]);
    halo->receive[side] = allocate((size_t)halo->length[side]);
  }
}

static void destroy_halo(struct Halo* halo) {
  for (int side = 0; side < kSides; ++side) {
    free(halo->send[side]);
    free(halo->receive[side]);
  }
}

/* Index of point i of a side's edge: the block's own outermost points, or the rim beyond them. */
static size_t edge_point(const struct Block* block, int side, int i, int rim) {
  switch (side) {
    case kWest:
      return at(block, rim ? -1 : 0, i);
    case kEast:
      return at(block, rim ? block->nx : block->nx - 1, i);
    case kNorth:
      return at(block, i, rim ? -1 : 0);
    default:
      return at(block, i, rim ? block->ny : block->ny - 1);
  }
}

/* A message carries the tag of the side it leaves from, which the receiver knows as the opposite
 * one; so two neighbours never confuse messages even where they touch on two sides. */
static void start_exchange(struct Halo* halo, const struct Block* block) {
  static const int opposite[kSides] = {kEast, kWest, kSouth, kNorth};
  for (int side = 0; side < kSides; ++side)
    MPI_Irecv(halo->receive[side], halo->length[side], MPI_DOUBLE, halo->neighbor[side],
              opposite[side], MPI_COMM_WORLD, &halo->requests[side]);
  for (int side = 0; side < kSides; ++side) {
    if (halo->neighbor[side] != MPI_PROC_NULL)
      for (int i = 0; i < halo->length[side]; ++i)
        halo->send[side][i] = block->now[edge_point(block, side, i, 0)];
    MPI_Isend(halo->send[side], halo->length[side], MPI_DOUBLE, halo->neighbor[side], side,
              MPI_COMM_WORLD, &halo->requests[kSides + side]);
  }
}

static void finish_exchange(struct Halo* halo, const struct Block* block) {
  MPI_Waitall(2 * kSides, halo->requests, MPI_STATUSES_IGNORE);
  for (int side = 0; side < kSides; ++side) {
    if (halo->neighbor[side] == MPI_PROC_NULL) continue;
    for (int i = 0; i < halo->length[side]; ++i)
      block->now[edge_point(block, side, i, 1)] = halo->receive[side][i];
  }
}

/* Runs all steps on this rank's block; returns the last residual (equal on all ranks). */
static double solve(struct Block* block, struct Halo* halo, const struct Options* options,
                    int rank) {
  double residual = 0;
  for (int step = 1; step <= options->steps; ++step) {
    start_exchange(halo, block);
    if (!is_empty(block)) update_inside(block);
    finish_exchange(halo, block);
    if (!is_empty(block)) update_edge(block);

    if (step % options->report == 0 || step == options->steps) {
      const double mine = change_squared(block);
      double sum;
      MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
      residual = sqrt(sum / ((double)options->nx * options->ny));
      if (rank == 0) printf("  step %6d   residual %.6e\n", step, residual);
    }
    swap_fields(block);
  }
  return residual;
}

/* Collects all blocks into `plate` (nx * ny values, on rank 0 only). */
static void gather_plate(const struct Block* block, struct Grid grid, const struct Options* options,
                         int rank, int size, double* plate) {
  const int count = block->nx * block->ny;
  double* packed = allocate((size_t)count);
  for (int y = 0; y < block->ny; ++y)
    memcpy(packed + (size_t)y * block->nx, &block->now[at(block, 0, y)],
           (size_t)block->nx * sizeof(double));

  int* counts = NULL;
  int* starts = NULL;
  double* all = NULL;
  if (rank == 0) {
    counts = malloc((size_t)size * sizeof *counts);
    starts = malloc((size_t)size * sizeof *starts);
    all = allocate((size_t)options->nx * options->ny);
    if (counts == NULL || starts == NULL) MPI_Abort(MPI_COMM_WORLD, 2);
  }
  MPI_Gather(&count, 1, MPI_INT, counts, 1, MPI_INT, 0, MPI_COMM_WORLD);
  if (rank == 0)
    for (int source = 0, start = 0; source < size; start += counts[source++])
      starts[source] = start;
  MPI_Gatherv(packed, count, MPI_DOUBLE, all, counts, starts, MPI_DOUBLE, 0, MPI_COMM_WORLD);

  if (rank == 0)
    for (int source = 0; source < size; ++source) {
      const struct Block part = block_of(source, grid, options->nx, options->ny);
      for (int y = 0; y < part.ny; ++y)
        memcpy(plate + (size_t)(part.y0 + y) * options->nx + part.x0,
               all + starts[source] + (size_t)y * part.nx, (size_t)part.nx * sizeof(double));
    }
  free(packed);
  free(counts);
  free(starts);
  free(all);
}

/* Solves the whole problem alone and returns the largest difference to `plate`. */
static double compare_with_serial(const struct Options* options, const double* plate,
                                  double* seconds) {
  struct Block whole = {0, 0, options->nx, options->ny, NULL, NULL};
  create_fields(&whole, options->nx, options->ny);
  const double start = MPI_Wtime();
  for (int step = 0; step < options->steps; ++step) {
    update(&whole, 0, whole.nx, 0, whole.ny);
    swap_fields(&whole);
  }
  *seconds = MPI_Wtime() - start;

  double worst = 0;
  for (int y = 0; y < whole.ny; ++y)
    for (int x = 0; x < whole.nx; ++x) {
      const double difference = fabs(plate[(size_t)y * whole.nx + x] - whole.now[at(&whole, x, y)]);
      if (!(difference <= worst)) worst = difference; /* also catches not-a-number */
    }
  destroy_fields(&whole);
  return worst;
}

static void print_picture(const struct Options* options, const double* plate) {
  static const char shades[] = " .:-=+*#%@";
  enum { kWidth = 64, kHeight = 18 };
  const int width = options->nx < kWidth ? options->nx : kWidth;
  const int height = options->ny < kHeight ? options->ny : kHeight;
  for (int row = 0; row < height; ++row) {
    char line[kWidth + 1];
    for (int column = 0; column < width; ++column) {
      const int x = part_start(options->nx, width, column),
                y = part_start(options->ny, height, row);
      /* The square root spreads the low temperatures, where most of the plate is. */
      const double level = sqrt(fmax(0.0, plate[(size_t)y * options->nx + x]) / kHot);
      line[column] = shades[(int)(fmin(level, 0.999) * (sizeof shades - 1))];
    }
    line[width] = '\0';
    printf("  |%s|\n", line);
  }
}

static int parse_number(const char* text, int minimum, int* value) {
  char* end;
  const long number = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || number < minimum || number > 100000) return 0;
  *value = (int)number;
  return 1;
}

static void print_usage(FILE* file) {
  fputs(
      "usage: heat2d [--nx POINTS] [--ny POINTS] [--steps N] [--report N] [--no-check]\n"
      "  --nx, --ny    size of the plate (1 to 100000; default 512 x 384)\n"
      "  --steps       time steps (default 600)\n"
      "  --report      steps between two residuals (default 200)\n"
      "  --no-check    do not compare with the serial solution on rank 0\n",
      file);
}

/* Returns -1 to go on, or the exit status. */
static int parse_options(int argc, char** argv, struct Options* options) {
  *options = (struct Options){512, 384, 600, 200, 1};
  for (int i = 1; i < argc; ++i) {
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    int ok = 1;
    if (strcmp(argv[i], "--help") == 0) {
      print_usage(stdout);
      return 0;
    } else if (strcmp(argv[i], "--no-check") == 0) {
      options->check = 0;
      continue;
    } else if (strcmp(argv[i], "--nx") == 0) {
      ok = parse_number(value, 1, &options->nx);
    } else if (strcmp(argv[i], "--ny") == 0) {
      ok = parse_number(value, 1, &options->ny);
    } else if (strcmp(argv[i], "--steps") == 0) {
      ok = parse_number(value, 0, &options->steps);
    } else if (strcmp(argv[i], "--report") == 0) {
      ok = parse_number(value, 1, &options->report);
    } else {
      fprintf(stderr, "heat2d: unknown option '%s'\n", argv[i]);
      print_usage(stderr);
      return 2;
    }
    if (!ok) {
      fprintf(stderr, "heat2d: %s needs a whole number in its range, not '%s'\n", argv[i], value);
      return 2;
    }
    ++i;
  }
  return -1;
}

/* Rank 0's closing lines; returns whether the result is right. */
static int report_result(const struct Options* options, const double* plate, double seconds) {
  const double updates = (double)options->nx * options->ny * options->steps;
  print_picture(options, plate);
  printf("parallel: %.3f s, %.1f million points/s\n", seconds,
         seconds > 0 ? updates / seconds * 1e-6 : 0.0);
  if (!options->check) return 1;

  double serial_seconds;
  const double worst = compare_with_serial(options, plate, &serial_seconds);
  const int right = worst <= kTolerance;
  printf("serial:   %.3f s (speed-up %.2f)\n", serial_seconds,
         seconds > 0 ? serial_seconds / seconds : 0.0);
  if (worst == 0)
    puts("check:    identical to the serial solution in every bit");
  else
    printf("check:    largest difference to the serial solution %.3e: %s\n", worst,
           right ? "within rounding" : "WRONG");
  return right;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank, size;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);

  /* Rank 0 alone reads the arguments, so that a mistake is reported once. */
  int status = -1;
  struct Options options = {0, 0, 0, 0, 0};
  if (rank == 0) status = parse_options(argc, argv, &options);
  MPI_Bcast(&status, 1, MPI_INT, 0, MPI_COMM_WORLD);
  if (status >= 0) {
    MPI_Finalize();
    return status;
  }
  int numbers[5] = {options.nx, options.ny, options.steps, options.report, options.check};
  MPI_Bcast(numbers, 5, MPI_INT, 0, MPI_COMM_WORLD);
  options = (struct Options){numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]};

  const struct Grid grid = choose_grid(size, options.nx, options.ny);
  if (rank == 0) {
    printf("heat2d: plate %d x %d, %d steps, %d rank%s as %d x %d blocks", options.nx, options.ny,
           options.steps, size, size == 1 ? "" : "s", grid.columns, grid.rows);
    const int idle = size - grid.columns * grid.rows;
    if (idle > 0) printf(" (%d without points)", idle);
    putchar('\n');
  }

  struct Block block = block_of(rank, grid, options.nx, options.ny);
  struct Halo halo;
  create_fields(&block, options.nx, options.ny);
  create_halo(&halo, &block, grid, rank);

  MPI_Barrier(MPI_COMM_WORLD);
  const double start = MPI_Wtime();
  solve(&block, &halo, &options, rank);
  MPI_Barrier(MPI_COMM_WORLD);
  const double seconds = MPI_Wtime() - start;

  double* plate = rank == 0 ? allocate((size_t)options.nx * options.ny) : NULL;
  gather_plate(&block, grid, &options, rank, size, plate);
  int right = rank == 0 ? report_result(&options, plate, seconds) : 0;
  MPI_Bcast(&right, 1, MPI_INT, 0, MPI_COMM_WORLD);

  free(plate);
  destroy_halo(&halo);
  destroy_fields(&block);
  MPI_Finalize();
  return right ? 0 : 1;
}
