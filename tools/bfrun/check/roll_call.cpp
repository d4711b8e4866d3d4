#include "check/roll_call.hpp"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <signal.h>

#include "lost_host.hpp"
#include "times.hpp"

namespace bfrun {
namespace {

class RollCall : public AgentLink::Listener {
 public:
  RollCall(const std::vector<HostRanks>& hosts, std::vector<AgentProcess> agents,
           std::chrono::milliseconds patience)
      : patience_(patience), ends_of_children_(io_, SIGCHLD), timer_(io_) {
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      called_.emplace_back().link = std::make_unique<AgentLink>(io_, hosts[i], std::move(agents[i]), *this);
    }
  }

  std::vector<std::string> run() {
    wait_for_ends();
    for (const Called& called : called_) called.link->start();
    timer_.expires_after(patience_);
    timer_.async_wait([this](const asio::error_code& error) {
      if (!error) give_up_the_silent();
    });
    look_for_ends();  // of those that ended before the signal was waited for
    io_.run();
    std::vector<std::string> problems;
    for (Called& called : called_) problems.push_back(std::move(called.problem));
    return problems;
  }

 private:
  struct Called {
    std::unique_ptr<AgentLink> link;
    bool has_answered = false;
    std::string problem;
  };

  Called& called_by(const AgentLink& link) {
    return *std::find_if(called_.begin(), called_.end(),
                         [&](const Called& called) { return called.link.get() == &link; });
  }

  void wait_for_ends() {
    ends_of_children_.async_wait([this](const asio::error_code& error, int) {
      if (error) return;
      look_for_ends();
      wait_for_ends();
    });
  }

  void look_for_ends() {
    for (const Called& called : called_) called.link->look_for_end();
  }

  void on_event(AgentLink& link, const Event& event) override {
    Called& called = called_by(link);
    const auto* greeting = std::get_if<Greeting>(&event);
    if (greeting == nullptr || std::exchange(called.has_answered, true)) return;
    called.problem = why_unfit(*greeting);
    link.close_orders();  // an agent that was told nothing ends then
    const bool complete =
        std::all_of(called_.begin(), called_.end(), [](const Called& other) { return other.has_answered; });
    if (complete) end_soon();
  }

  void on_output(AgentLink& link, int /*target*/, std::string lines) override { link.grant(lines.size()); }

  void on_end(AgentLink& link) override {
    Called& called = called_by(link);
    if (!std::exchange(called.has_answered, true)) called.problem = why_no_answer(link);
    const bool complete = std::all_of(called_.begin(), called_.end(),
                                      [](const Called& other) { return other.link->has_ended(); });
    if (complete) io_.stop();
  }

  void give_up_the_silent() {
    for (Called& called : called_) {
      if (std::exchange(called.has_answered, true)) continue;
      called.problem = "no answer within " + in_seconds(patience_);
    }
    for (const Called& called : called_) called.link->kill();
  }

  void end_soon() {
    timer_.expires_after(patience_with_orders);
    timer_.async_wait([this](const asio::error_code& error) {
      if (error) return;
      for (const Called& called : called_) called.link->kill();
    });
  }

  const std::chrono::milliseconds patience_;
  asio::io_context io_;
  asio::signal_set ends_of_children_;
  asio::steady_timer timer_;
  std::vector<Called> called_;
};

}  // namespace

std::vector<std::string> call_roll(const std::vector<HostRanks>& hosts, std::vector<AgentProcess> agents,
                                   std::chrono::milliseconds patience) {
  return RollCall(hosts, std::move(agents), patience).run();
}

}  // namespace bfrun
