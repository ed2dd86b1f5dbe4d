// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AttributionChallenges} from "../../src/AttributionChallenges.sol";
import {Challenges} from "../../src/Challenges.sol";
import {Clock} from "../../src/Clock.sol";
import {Escrow} from "../../src/Escrow.sol";
import {IRegistry, IWrappedNative} from "../../src/Interfaces.sol";
import {Rewards} from "../../src/Rewards.sol";
import {Settlement} from "../../src/Settlement.sol";
import {Split, Version} from "../../src/Types.sol";
import {WrappedNative} from "../../src/WrappedNative.sol";

/// @dev Publishes whatever id a test names; the rules of publishing are the registry's own tests' business.
contract OpenRegistry is IRegistry {
    mapping(bytes32 => uint64) public registeredAt;

    function publish(bytes32 id) external {
        registeredAt[id] = uint64(block.timestamp);
    }
}

/// @title A deployment of everything that moves money, with rows and people that the tests share.
abstract contract System is Test {
    uint64 internal constant WINDOW = 1 days;
    uint64 internal constant ANSWER = 6 hours;
    uint64 internal constant THAW = 4 days;
    uint64 internal constant UNBOND = 2 days;
    uint64 internal constant CLAIMS = 3 days;
    uint128 internal constant MINIMUM_BOND = 1 ether;
    uint128 internal constant DEMAND_BOND = 0.1 ether;

    address internal guardian = makeAddr("guardian");
    address internal modelOwner = makeAddr("model owner");
    address internal adapterOwner = makeAddr("adapter owner");
    address internal validatorsPool = makeAddr("validators pool");
    address internal unattributedPool = makeAddr("unattributed pool");
    address internal treasury = makeAddr("treasury");

    IWrappedNative internal asset;
    OpenRegistry internal registry;
    Clock internal clock;
    Escrow internal escrow;
    Settlement internal settlement;
    Rewards internal rewards;
    Challenges internal challenges;
    AttributionChallenges internal attribution;

    Split internal split;
    Version internal modelVersion;
    Version internal adapterVersion;

    function deploy() internal {
        vm.warp(1_750_000_000);
        asset = IWrappedNative(address(new WrappedNative("Wrapped Native", "WNAT")));
        registry = new OpenRegistry();
        clock = new Clock(guardian);
        // The contracts know each other by immutable address: those still to come are computed.
        uint256 nonce = vm.getNonce(address(this));
        escrow = new Escrow(
            asset,
            clock,
            vm.computeCreateAddress(address(this), nonce + 1),
            vm.computeCreateAddress(address(this), nonce + 2),
            THAW
        );
        settlement = new Settlement(
            escrow,
            vm.computeCreateAddress(address(this), nonce + 3),
            vm.computeCreateAddress(address(this), nonce + 4),
            WINDOW,
            UNBOND,
            CLAIMS,
            MINIMUM_BOND
        );
        rewards = new Rewards(settlement, registry);
        challenges = new Challenges(settlement, registry, ANSWER, DEMAND_BOND);
        attribution = new AttributionChallenges(settlement, registry);
        publishRows();
    }

    function publishRows() private {
        split = Split(400_000_000, 300_000_000, 200_000_000, 100_000_000, validatorsPool, unattributedPool, treasury);
        modelVersion = Version(keccak256("model item"), 1, keccak256("weights"), 0, modelOwner, 0, keccak256("m"));
        bytes32 baseId = keccak256(abi.encode(modelVersion));
        adapterVersion =
            Version(keccak256("adapter item"), 1, keccak256("lora"), baseId, adapterOwner, 250_000_000, keccak256("a"));
        registry.publish(keccak256(abi.encode(split)));
        registry.publish(baseId);
        registry.publish(keccak256(abi.encode(adapterVersion)));
    }

    function fund(address who, uint256 amount) internal {
        vm.deal(who, amount);
        vm.startPrank(who);
        asset.deposit{value: amount}();
        asset.approve(address(escrow), type(uint256).max);
        asset.approve(address(settlement), type(uint256).max);
        asset.approve(address(challenges), type(uint256).max);
        vm.stopPrank();
    }
}
