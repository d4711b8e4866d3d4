#pragma once
/// @file json_text.hpp  JSON from a stranger: every access is checked, every failure is an InvalidArgument.

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace bfrun {

/// @throws InvalidArgument  no JSON, or nested deeper than anything that bfrun sends
[[nodiscard]] nlohmann::json parse_json(std::string_view text);

/// Command lines and variables are bytes, JSON has characters: byte n becomes character n. ASCII stays
/// itself.
[[nodiscard]] std::string to_json_text(std::string_view bytes);
/// The reverse. @throws InvalidArgument  no string, or with characters that stand for no byte
[[nodiscard]] std::string from_json_text(const nlohmann::json& value);

/// A member of an object. All of these throw InvalidArgument, naming the member, if it is missing or wrong.
[[nodiscard]] const nlohmann::json& member(const nlohmann::json& object, const char* name);
[[nodiscard]] std::string text(const nlohmann::json& object, const char* name);
[[nodiscard]] bool boolean(const nlohmann::json& object, const char* name);
[[nodiscard]] int integer(const nlohmann::json& object, const char* name, int least, int most);
/// The value itself, if it is an array.
[[nodiscard]] const nlohmann::json& elements(const nlohmann::json& value);

}  // namespace bfrun
