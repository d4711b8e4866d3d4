#include "bfsim.hpp"

#include <exception>

#include <bluefog/error.hpp>

#include "command_line.hpp"
#include "noise_command.hpp"
#include "run_command.hpp"
#include "table_command.hpp"

namespace bfsim {

int bfsim(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) {
  try {
    const Command command = parse_command(arguments, out, err);
    if (const auto* finished = std::get_if<Finished>(&command)) return finished->exit_code;
    if (const auto* one = std::get_if<RunCommand>(&command)) run(*one, out, err);
    if (const auto* table = std::get_if<TableCommand>(&command)) print_table(*table, out, err);
    if (const auto* noise = std::get_if<NoiseCommand>(&command)) print_noise(*noise, out);
    return 0;
  } catch (const bluefog::InvalidArgument& error) {
    err << "bfsim: " << error.what() << "\n";
    return exit_code_of_usage_errors;
  } catch (const std::exception& error) {
    err << "bfsim: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace bfsim
