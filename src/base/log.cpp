#include "base/log.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <string>
#include <utility>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace bluefog::log {
namespace {

constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 6> levels{{
    {"trace", spdlog::level::trace},
    {"debug", spdlog::level::debug},
    {"info", spdlog::level::info},
    {"warning", spdlog::level::warn},
    {"error", spdlog::level::err},
    {"fatal", spdlog::level::critical},
}};

/// Above all levels that can be set.
constexpr spdlog::level::level_enum level_of_reports = spdlog::level::off;

spdlog::level::level_enum spdlog_level(Level level) {
  return levels[static_cast<std::size_t>(level)].second;
}

// spdlog calls the last two levels otherwise than BLUEFOG_LOG_LEVEL does.
class LevelName final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& line) override {
    for (const auto& [name, level] : levels) {
      if (level == message.level) append(name, line);
    }
    if (message.level == level_of_reports) append("report", line);
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelName>();
  }

 private:
  static void append(std::string_view name, spdlog::memory_buf_t& line) {
    line.append(name.data(), name.data() + name.size());
  }
};

void apply(spdlog::logger& logger, Level level, bool hide_time, int rank) {
  std::string pattern = hide_time ? "" : "[%Y-%m-%d %H:%M:%S.%e] ";
  pattern += rank < 0 ? "[bluefog] " : "[bluefog rank " + std::to_string(rank) + "] ";
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<LevelName>('N').set_pattern(pattern + "%N: %v");
  logger.set_formatter(std::move(formatter));
  logger.set_level(spdlog_level(level));
}

spdlog::logger& logger() {
  static const std::unique_ptr<spdlog::logger> instance = [] {
    auto made =
        std::make_unique<spdlog::logger>("bluefog", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->flush_on(spdlog::level::trace);
    apply(*made, Level::warning, false, -1);
    return made;
  }();
  return *instance;
}

void write(Level level, std::string_view text) {
  logger().log(spdlog_level(level), spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace

std::optional<Level> parse_level(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  for (std::size_t index = 0; index < levels.size(); ++index) {
    if (levels[index].first == lower) return static_cast<Level>(index);
  }
  return std::nullopt;
}

void configure(Level level, bool hide_time, int rank) {
  apply(logger(), level, hide_time, rank);
}

bool enabled(Level level) {
  return logger().should_log(spdlog_level(level));
}

void trace(std::string_view text) {
  write(Level::trace, text);
}
void debug(std::string_view text) {
  write(Level::debug, text);
}
void info(std::string_view text) {
  write(Level::info, text);
}
void warning(std::string_view text) {
  write(Level::warning, text);
}
void error(std::string_view text) {
  write(Level::error, text);
}
void fatal(std::string_view text) {
  write(Level::fatal, text);
}
void report(std::string_view text) {
  logger().log(level_of_reports, spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace bluefog::log
