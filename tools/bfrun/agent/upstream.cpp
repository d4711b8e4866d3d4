#include "agent/upstream.hpp"

namespace bfrun {

bool Upstream::send_output(int target, std::string_view lines) {
  if (!lines.empty()) {
    sent_ahead_ += lines.size();
    write(encode_frame(target == 1 ? FrameKind::output : FrameKind::error, lines));
  }
  return has_room();
}

}  // namespace bfrun
