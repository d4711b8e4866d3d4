#include "faults/mortal_job.hpp"

#include <atomic>
#include <exception>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

namespace bluefog::test {

namespace {

/// Thrown through a rank at its end.
struct Died {};

}  // namespace

std::size_t run_with_deaths(int size, const Config& config, const std::vector<Death>& deaths,
                            const MortalBody& body) {
  std::vector<std::shared_ptr<engine::Session>> sessions;
  std::vector<Fate> fates(static_cast<std::size_t>(size));
  std::atomic<std::size_t> dead{0};
  for (std::size_t i = 0; i < deaths.size(); ++i) {
    const int rank = deaths[i].rank;
    Fate& fate = fates[static_cast<std::size_t>(rank)];
    fate = Fate(deaths[i].store, [&sessions, &dead, rank] {
      ++dead;
      for (const auto& session : sessions) {
        if (session->config().rank != rank)
          static_cast<MortalTransport&>(session->transport()).inner().set_lost(rank);
      }
      throw Died();
    });
    if (i > 0) fate.count_when([&dead, i] { return dead >= i; });
  }
  std::vector<MortalStores> stores(fates.begin(), fates.end());
  std::vector<engine::Interposition> interpositions;
  for (std::size_t rank = 0; rank < fates.size(); ++rank)
    interpositions.push_back(mortal(fates[rank], stores[rank]));
  sessions = engine::Session::in_process(size, config, interpositions);
  {
    std::vector<std::jthread> threads;
    for (const auto& session : sessions) {
      threads.emplace_back([&] {
        try {
          body(*session, fates[static_cast<std::size_t>(session->config().rank)]);
        } catch (const Died&) {
        } catch (const std::exception& error) {
          ADD_FAILURE() << "rank " << session->config().rank << ": " << error.what();
        }
      });
    }
  }
  for (const auto& session : sessions) session->shutdown();
  return dead;
}

}  // namespace bluefog::test
