// The second translation unit of behaviour: both include the header twice, in either order.
#include "elkapi.hpp"
#include "elkapi.h"
#include "elkapi.hpp"

std::string quoted_elsewhere(std::string_view text);

std::string quoted_elsewhere(std::string_view text) { return elk::quote(text); }
