/// @file main.cpp  bfsim: thousands of ranks of the engine on a virtual network.

#include <iostream>
#include <string>
#include <vector>

#include "bfsim.hpp"

int main(int argc, char** argv) {
  return bfsim::bfsim(std::vector<std::string>(argv + 1, argv + argc), std::cout, std::cerr);
}
