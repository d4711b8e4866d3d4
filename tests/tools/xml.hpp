#pragma once
/// @file xml.hpp  As much of XML as bfsim's pictures have, to tell whether they are well-formed.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bfsim {

/// What is wrong with a document of one element, in words; empty if nothing is. Knows elements, attributes in
/// double quotes, text and the five named entities; no comments, declarations or sections.
[[nodiscard]] std::string fault_in_xml(std::string_view text);

[[nodiscard]] int count_of(std::string_view part, std::string_view text);

/// Of all polylines, in their order.
[[nodiscard]] std::vector<std::pair<double, double>> points_of_polylines(std::string_view svg);

}  // namespace bfsim
