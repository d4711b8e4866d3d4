#pragma once
/// @file torch/state.hpp  Starting all ranks from one state.

#include <cstdint>
#include <sstream>
#include <string>
#include <unordered_set>
#include <vector>

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/serialize.h>
#include <torch/serialize.h>

#include <bluefog/context.hpp>
#include <bluefog/error.hpp>
#include <bluefog/torch/operations.hpp>

namespace bluefog::torch {

/// Every rank's parameters and buffers become the root's. Collective.
/// @throws Mismatch where shapes or dtypes differ between ranks
inline void broadcast_parameters(Context& context, const ::torch::nn::Module& module, int root = 0) {
  std::vector<TensorHandle> handles;
  const auto finish = [&handles] {
    for (TensorHandle& handle : handles) handle.wait();
    handles.clear();
  };
  std::unordered_set<const void*> storages;  // of those on their way
  const auto start = [&](const char* kind, const auto& named) {
    OperationOptions options;
    options.name = std::string("broadcast.") + kind + "." + named.key();
    const bool is_stored = named.value().defined() && named.value().has_storage();
    if (is_stored && !storages.insert(named.value().storage().unsafeGetStorageImpl()).second)
      finish();  // tied
    handles.push_back(broadcast_async_(context, named.value(), root, options));
  };
  for (const auto& named : module.named_parameters()) start("parameter", named);
  for (const auto& named : module.named_buffers()) start("buffer", named);
  finish();
}

/// Every rank's optimizer becomes as the root's: options of its groups and state of its parameters. It is
/// sent as LibTorch saves it. Collective. @throws InvalidArgument, on every rank, if the ranks' optimizers
/// have unequal numbers of groups or parameters
inline void broadcast_optimizer_state(Context& context, ::torch::optim::Optimizer& optimizer, int root = 0) {
  std::int64_t parameters = 0;
  for (const auto& group : optimizer.param_groups())
    parameters += static_cast<std::int64_t>(group.params().size());
  const auto groups = static_cast<std::int64_t>(optimizer.param_groups().size());
  const at::Tensor own = at::tensor({groups, parameters}, at::kLong).unsqueeze(0);
  OperationOptions named;
  named.name = "broadcast.optimizer.sizes";
  const at::Tensor all = allgather(context, own, named);
  if (!all.eq(own).all().item<bool>()) {
    throw InvalidArgument(
        "broadcast_optimizer_state: the ranks' optimizers have unequal numbers of groups or parameters");
  }
  std::string bytes;
  if (context.rank() == root) {
    std::ostringstream stream;
    ::torch::serialize::OutputArchive archive;
    optimizer.save(archive);
    archive.save_to(stream);
    bytes = stream.str();
  }
  at::Tensor length = at::full({1}, static_cast<std::int64_t>(bytes.size()), at::kLong);
  named.name = "broadcast.optimizer.length";
  broadcast_(context, length, root, named);
  bytes.resize(static_cast<std::size_t>(length.item<std::int64_t>()));
  named.name = "broadcast.optimizer.state";
  broadcast_(context, at::from_blob(bytes.data(), {length.item<std::int64_t>()}, at::kByte), root, named);
  if (context.rank() == root) return;
  std::istringstream stream(bytes);
  ::torch::serialize::InputArchive archive;
  archive.load_from(stream);
  optimizer.load(archive);
}

}  // namespace bluefog::torch
