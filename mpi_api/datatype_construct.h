// mpi_api/datatype_construct.h - the common end of all constructors of derived datatypes.
//
// Threading: under the entry lock. Failure: an MPI error class, its sentence kept by fail().
#pragma once
#include <initializer_list>

#include "mpi_api/datatype.h"
#include "mpi_api/entry.h"

namespace tern::mpi {

// Collects a constructor's arguments in the order of MPI_Type_get_contents. In large-count recipes
// all counts and displacements are large counts.
class RecipeWriter {
 public:
  RecipeWriter(int combiner, bool large) {
    recipe_.combiner = combiner;
    recipe_.large = large;
  }
  RecipeWriter& numbers(std::initializer_list<MPI_Count> values);
  RecipeWriter& numbers(IntArray values, MPI_Count length);
  RecipeWriter& addresses(std::initializer_list<MPI_Count> values);
  RecipeWriter& addresses(IntArray values, MPI_Count length);
  // Numbers that are ints in the large-count functions, too.
  RecipeWriter& integers(std::initializer_list<int> values);
  RecipeWriter& integers(const int* values, int length);
  RecipeWriter& type(Datatype* type);
  Recipe& recipe() { return recipe_; }

 private:
  void number(MPI_Count value);

  Recipe recipe_;
};

// Makes the datatype; one that cannot be made is told by class and sentence.
int make_derived(RecipeWriter& writer, Datatype** newtype);

}  // namespace tern::mpi
