// server.cpp - opens a port, writes its name into a text file, and exchanges a value with a client.
//
// Build and run; client.cpp is the other half:
//   mpicxx server.cpp -o server && mpirun -n 1 ./server
#include <mpi.h>

#include <cstdio>
#include <fstream>
#include <string>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const char* const file = argc > 1 ? argv[1] : "server.port";

  char port[MPI_MAX_PORT_NAME];
  MPI_Open_port(MPI_INFO_NULL, port);
  {
    // Under another name first, so that a client never reads half a line.
    const std::string unfinished = std::string(file) + ".new";
    std::ofstream(unfinished) << port << '\n';
    std::rename(unfinished.c_str(), file);
  }
  std::printf("server: waiting, the port name is in %s\n", file);
  std::fflush(stdout);

  MPI_Comm client;
  MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &client);
  int value = 0;
  MPI_Recv(&value, 1, MPI_INT, 0, 0, client, MPI_STATUS_IGNORE);
  std::printf("server: received %d\n", value);
  const int answer = value + 1;
  MPI_Send(&answer, 1, MPI_INT, 0, 0, client);

  MPI_Comm_disconnect(&client);
  MPI_Close_port(port);
  std::remove(file);
  MPI_Finalize();
  return 0;
}
