#pragma once
/// @file symmetric_eigenvalue.hpp  The largest eigenvalue of a symmetric matrix.

#include <cstddef>
#include <vector>

namespace bluefog::topology {

/// By reduction to a tridiagonal matrix with Householder reflections and bisection on Sturm sequences (Golub
/// and Van Loan, Matrix Computations, 8.3.1 and 8.4.1). Exact to about size * 1e-16 of the largest absolute
/// eigenvalue.
/// @param matrix  size * size entries, symmetric; no eigenvalue is below 0
[[nodiscard]] double largest_eigenvalue(std::size_t size, std::vector<double> matrix);

}  // namespace bluefog::topology
