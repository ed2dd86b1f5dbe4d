// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Batch} from "./Types.sol";

/// @dev The payment asset: an ERC-20 that wraps the chain's native token.
interface IWrappedNative is IERC20 {
    function deposit() external payable;
}

/// @dev All that money asks of the registry: when an id was published, 0 if never. It only appends.
interface IRegistry {
    function registeredAt(bytes32 id) external view returns (uint64);
}

/// @dev What AttributionChallenges asks of Challenges.
interface IChallenges {
    function answerData(Batch calldata batch, uint32 index) external;
}
