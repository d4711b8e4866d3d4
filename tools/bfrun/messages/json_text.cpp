#include "messages/json_text.hpp"

#include <cstdint>

#include <bluefog/error.hpp>

namespace bfrun {
namespace {

using bluefog::InvalidArgument;
using json = nlohmann::json;

constexpr int deepest = 6;

}  // namespace

json parse_json(std::string_view text) {
  // A few million brackets would otherwise take a hundred times as many bytes of memory.
  const auto check_depth = [](int depth, json::parse_event_t, const json&) {
    if (depth > deepest) throw InvalidArgument("the JSON is nested too deeply");
    return true;
  };
  try {
    return json::parse(text, check_depth);
  } catch (const json::exception&) {
    throw InvalidArgument("this is no JSON");
  }
}

std::string to_json_text(std::string_view bytes) {
  std::string utf8;
  utf8.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      utf8 += c;
    } else {
      utf8 += static_cast<char>(0xc0 | byte >> 6);
      utf8 += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return utf8;
}

std::string from_json_text(const json& value) {
  if (!value.is_string()) throw InvalidArgument("a string is missing");
  const auto& utf8 = value.get_ref<const std::string&>();  // valid: the parser refuses others
  std::string bytes;
  bytes.reserve(utf8.size());
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto first = static_cast<unsigned char>(utf8[i]);
    if (first < 0x80) {
      bytes += utf8[i];
    } else if (first <= 0xc3 && i + 1 < utf8.size()) {
      bytes += static_cast<char>((first & 0x03) << 6 | (static_cast<unsigned char>(utf8[++i]) & 0x3f));
    } else {
      throw InvalidArgument("a character stands for no byte");
    }
  }
  return bytes;
}

const json& member(const json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  if (!object.is_object() || found == object.end()) {
    throw InvalidArgument("\"" + std::string(name) + "\" is missing");
  }
  return *found;
}

std::string text(const json& object, const char* name) {
  const json& value = member(object, name);
  if (!value.is_string()) throw InvalidArgument("\"" + std::string(name) + "\" is no string");
  return from_json_text(value);
}

bool boolean(const json& object, const char* name) {
  const json& value = member(object, name);
  if (!value.is_boolean()) throw InvalidArgument("\"" + std::string(name) + "\" is neither true nor false");
  return value.get<bool>();
}

int integer(const json& object, const char* name, int least, int most) {
  const json& value = member(object, name);
  // Unsigned ones count as integers too, and may be larger than any signed.
  const bool representable =
      value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX);
  if (!representable || value.get<std::int64_t>() < least || value.get<std::int64_t>() > most) {
    throw InvalidArgument("\"" + std::string(name) + "\" is no integer from " + std::to_string(least) +
                          " to " + std::to_string(most));
  }
  return value.get<int>();
}

const json& elements(const json& value) {
  if (!value.is_array()) throw InvalidArgument("a list is missing");
  return value;
}

}  // namespace bfrun
