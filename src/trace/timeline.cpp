#include "trace/timeline.hpp"

#include <cerrno>
#include <cstring>

#include <stdio_ext.h>
#include <unistd.h>

#include <bluefog/error.hpp>

namespace bluefog::trace {

namespace {

long long microseconds(base::TimePoint time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

std::string json_string(std::string_view text) {
  std::string result = "\"";
  for (const char character : text) {
    if (character == '"' || character == '\\') result += '\\';
    result += static_cast<unsigned char>(character) < 0x20 ? ' ' : character;
  }
  return result + "\"";
}

std::string event(char phase, std::string_view name, int row, long long timestamp) {
  return std::string("{\"ph\": \"") + phase + "\", \"name\": " + json_string(name) +
         ", \"pid\": " + std::to_string(row) + ", \"tid\": 0, \"ts\": " + std::to_string(timestamp);
}

}  // namespace

Timeline::Timeline(const std::string& prefix, int rank) {
  const std::string path = prefix + std::to_string(rank) + ".json";
  file_ = std::fopen(path.c_str(), "we");
  if (file_ == nullptr) throw Error("cannot write the timeline " + path + ": " + std::strerror(errno));
  std::fputs("[\n", file_);
  listen();
}

Timeline::~Timeline() {
  stop_listening();
  close();
}

void Timeline::close() {
  const std::lock_guard lock(mutex_);
  if (file_ == nullptr) return;
  std::fputs("\n]\n", file_);
  std::fclose(file_);
  file_ = nullptr;
}

/// What the parent has not written yet, it writes itself.
void Timeline::in_child() noexcept {
  if (file_ == nullptr) return;
  ::__fpurge(file_);
  ::close(::fileno(file_));
}

void Timeline::record(std::string_view name, std::string_view activity, base::TimePoint begin,
                      base::TimePoint end) {
  const std::lock_guard lock(mutex_);
  if (file_ == nullptr) return;
  const int row = row_of(name.empty() ? std::string("unnamed") : std::string(name));
  write(event('X', activity, row, microseconds(begin)) +
        ", \"dur\": " + std::to_string(microseconds(end) - microseconds(begin)) + "}");
}

bool Timeline::begin(const std::string& name, std::string_view activity) {
  const std::lock_guard lock(mutex_);
  if (file_ == nullptr) return false;
  ++open_[name];
  write(event('B', activity, row_of(name), microseconds(std::chrono::steady_clock::now())) + "}");
  return true;
}

bool Timeline::end(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (file_ == nullptr) return false;
  const auto open = open_.find(name);
  if (open == open_.end() || open->second == 0) return false;
  --open->second;
  write(event('E', "", row_of(name), microseconds(std::chrono::steady_clock::now())) + "}");
  return true;
}

void Timeline::write(std::string_view text) {
  if (!first_) std::fputs(",\n", file_);
  first_ = false;
  std::fwrite(text.data(), 1, text.size(), file_);
}

int Timeline::row_of(const std::string& name) {
  const auto [at, is_new] = rows_.try_emplace(name, static_cast<int>(rows_.size()));
  if (is_new) {
    write(event('M', "process_name", at->second, 0) + ", \"args\": {\"name\": " + json_string(name) + "}}");
  }
  return at->second;
}

}  // namespace bluefog::trace
