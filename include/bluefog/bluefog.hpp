#pragma once
/// @file bluefog.hpp  Everything that C++ users include, but coroutine.hpp and torch.hpp.

#include <bluefog/algorithm.hpp>
#include <bluefog/asynchronous.hpp>
#include <bluefog/ceca.hpp>
#include <bluefog/config.hpp>
#include <bluefog/context.hpp>
#include <bluefog/decentralized.hpp>
#include <bluefog/descent.hpp>
#include <bluefog/dtype.hpp>
#include <bluefog/dynamic_graphs.hpp>
#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>
#include <bluefog/handle.hpp>
#include <bluefog/options.hpp>
#include <bluefog/schedule.hpp>
#include <bluefog/shared_memory.hpp>
#include <bluefog/simulation.hpp>
#include <bluefog/spectral.hpp>
#include <bluefog/stats.hpp>
#include <bluefog/tensor.hpp>
#include <bluefog/topology.hpp>
#include <bluefog/version.hpp>
#include <bluefog/weighting.hpp>
#include <bluefog/window.hpp>
