// client.cpp - reads a port name from a text file, connects to the server, and exchanges a value.
//
// Build and run in another terminal, while the server waits:
//   mpicxx client.cpp -o client && mpirun -n 1 ./client
#include <mpi.h>

#include <cstdio>
#include <fstream>
#include <string>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const char* const file = argc > 1 ? argv[1] : "server.port";

  std::string port;
  std::getline(std::ifstream(file), port);
  if (port.empty()) {
    std::fprintf(stderr, "client: no port name in %s; start the server first\n", file);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }

  MPI_Comm server;
  MPI_Comm_connect(port.c_str(), MPI_INFO_NULL, 0, MPI_COMM_WORLD, &server);
  const int value = 41;
  MPI_Send(&value, 1, MPI_INT, 0, 0, server);
  int answer = 0;
  MPI_Recv(&answer, 1, MPI_INT, 0, 0, server, MPI_STATUS_IGNORE);
  std::printf("client: sent %d, received %d\n", value, answer);

  MPI_Comm_disconnect(&server);
  MPI_Finalize();
  return 0;
}
