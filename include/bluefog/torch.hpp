#pragma once
/// @file torch.hpp  BlueFog for LibTorch: tensors in and out of every operation, and distributed optimizers.
///
/// Header-only, over the core, which knows nothing of torch. Needs C++20 and LibTorch 2.7 or newer
/// (find_package(bluefog COMPONENTS torch), target bluefog::torch). Tensors of the CPU.

#include <bluefog/bluefog.hpp>
#include <bluefog/torch/buckets.hpp>
#include <bluefog/torch/checkpoint.hpp>
#include <bluefog/torch/operations.hpp>
#include <bluefog/torch/optimizer.hpp>
#include <bluefog/torch/state.hpp>
#include <bluefog/torch/tensor.hpp>
