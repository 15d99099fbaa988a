// mpi_api/query.h - what the library says about itself: the source of tern-info's tables.
//
// tern_query is exported by libmpi_abi.so (names that begin with tern_ are ours), so the tool shows
// what the very library that programs load would do in this environment.
#pragma once

extern "C" {

// One row of text fields; lent for the call.
typedef void tern_row_function(void* context, int field_count, const char* const fields[]);

// Calls row() for each line of a topic; the first line holds the column names. Returns 0, or -1
// when there is no such topic. Topics: "build", "variables", "fabrics", "collectives",
// "algorithms", "counters", "port NAME", "spawn-keys", "launchers", "topics". Any time, one thread
// at a time.
int tern_query(const char* topic, tern_row_function* row, void* context);
}
