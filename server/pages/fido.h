#pragma once

#include <string_view>
#include <vector>

#include "server/core/fido_keys.h"
#include "server/pages/frame.h"

namespace keyferry::server {

// What pages need to let a browser speak with FIDO2 keys (assets/fido.js). Where this server has
// none, or the person, the page stays as it is without.

// Lets the form of the page, whose code stands in the field "code", take the answer of a key in its
// place: in `field`. `challenge`: the address that says what is to be signed.
void PutFidoProof(const PageContext& context, const Request& request, Data& data,
                  std::string_view challenge, std::string_view field);
// Lets the page offer a new key: the first second factor at sign-in, or a further one.
void PutFidoSetUp(const PageContext& context, Data& data, bool at_sign_in);

// A form that offers a new key, and what becomes of it.
std::vector<FormField> FidoOfferFields();
Result<FidoKeyAccepted> AddFidoKeyOf(const PageContext& context, Request& request);

// The list on the page of the sessions.
Result<void> PutFidoKeys(const PageContext& context, const Request& request, Data& data);

void AddFidoPages(Router& router, const PageContext& context);

}  // namespace keyferry::server
