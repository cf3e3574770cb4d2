/*
 * The contract: the header can be included first, alone and twice, from C++ too; its names have C linkage.
 */
#include "defender_xdr.h"
#include "defender_xdr.h"

#include <cstring>

int main()
{
    dxdr_buf *claims = nullptr;
    const dxdr_status status = DXDR_STATUS_NULL_POINTER;
    const bool right = dxdr_abi_version() == DXDR_ABI_VERSION && std::strcmp(dxdr_status_name(status), "NULL_POINTER") == 0
        && dxdr_decode_claims(nullptr, 0, &claims, nullptr) == DXDR_STATUS_NOT_JWT && claims == nullptr;
    return right ? 0 : 1;
}
