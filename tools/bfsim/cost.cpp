#include "cost.hpp"

#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include "text.hpp"

namespace bfsim {

Cost cost_until_now() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds_of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return {seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime),
          static_cast<double>(usage.ru_maxrss) * 1024 / 1e6};
}

void print_cost(const Cost& cost, bool as_json, std::ostream& err) {
  if (as_json) {
    err << nlohmann::json{{"kind", "cost"},
                          {"cpu_s", cost.cpu_seconds},
                          {"peak_resident_mb", cost.peak_resident_mb}}
        << "\n";
    return;
  }
  err << format("simulated in %.2f s of CPU time; memory at most %.0f MB\n", cost.cpu_seconds,
                cost.peak_resident_mb);
}

}  // namespace bfsim
