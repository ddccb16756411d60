// The second translation unit of a program: it includes the header again, in another order.
#include "elkapi.hpp"
#include "elkapi.h"
#include "elkapi.hpp"

std::string quoted_elsewhere(std::string_view text);

std::string quoted_elsewhere(std::string_view text) { return elk::quote(text); }
