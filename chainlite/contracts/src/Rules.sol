// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {
    BillingProof,
    Price,
    Rows,
    Split,
    Version,
    ROLE_BASE,
    ROLE_COMPUTE,
    ROLE_DATA,
    ROLE_MODEL,
    ROLE_NODE,
    ROLE_VALIDATORS,
    STATUS_FAILED
} from "./Types.sol";

/// @title What an answer costs and who gets which part (docs/protocol.md §2).
/// @notice 128-bit prices times 32-bit counts, and 128-bit amounts times parts of 10⁹, stay far below 256 bits: nothing here
/// overflows, whatever a node or a publisher wrote.
library Rules {
    uint256 private constant PPB = 1e9;

    /// @dev Expects cachedTokens ≤ promptTokens.
    function fee(Price calldata price, BillingProof calldata proof)
        internal
        pure
        returns (uint256 royalty, uint256 compute)
    {
        if (proof.outputTokens == 0 || proof.status == STATUS_FAILED) return (0, 0);
        uint256 uncached = proof.promptTokens - proof.cachedTokens;
        royalty = (uncached * price.inputWei + uint256(proof.cachedTokens) * price.cachedWei
            + uint256(proof.outputTokens) * price.outputWei) / 1e6;
        if (royalty < price.floorWei) royalty = price.floorWei;
        compute = (uncached + proof.outputTokens) * price.computeWei / 1e6;
    }

    /// @notice The posting that a settled receipt owes to a role; amount 0 means none.
    function part(uint8 role, BillingProof calldata proof, Rows calldata rows)
        internal
        pure
        returns (address beneficiary, uint256 amount)
    {
        (uint256 royalty, uint256 compute) = fee(rows.price, proof);
        Split calldata split = rows.split;
        uint256 upToModel = split.modelPpb;
        uint256 upToData = upToModel + split.dataPpb;
        uint256 upToValidators = upToData + split.validatorsPpb;
        if (role == ROLE_DATA) return (split.unattributedPool, cut(royalty, upToModel, upToData));
        if (role == ROLE_VALIDATORS) return (split.validatorsPool, cut(royalty, upToData, upToValidators));
        if (role == ROLE_NODE) return (proof.node, cut(royalty, upToValidators, upToValidators + split.nodePpb));
        if (role == ROLE_COMPUTE) return (proof.node, compute);
        // What is left is the model part, of which an adapter leaves a stated share to its base.
        amount = cut(royalty, 0, upToModel);
        bool adapted = proof.adapterVersion != 0;
        uint256 baseAmount = adapted ? cut(amount, 0, rows.top.basePpb) : 0;
        if (role == ROLE_MODEL) return (_payee(rows.top, split), amount - baseAmount);
        if (role == ROLE_BASE && adapted) return (_payee(rows.base, split), baseAmount);
        return (address(0), 0);
    }

    /// @dev Prefix rounding: each part can be checked alone, and the parts of a whole add up to it.
    function cut(uint256 amount, uint256 from, uint256 to) internal pure returns (uint256) {
        return amount * to / PPB - amount * from / PPB;
    }

    function _payee(Version calldata version, Split calldata split) private pure returns (address) {
        return version.payee == address(0) ? split.treasury : version.payee;
    }
}
