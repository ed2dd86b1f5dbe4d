// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {StdInvariant} from "forge-std/StdInvariant.sol";
import {Test} from "forge-std/Test.sol";
import {Escrow} from "../src/Escrow.sol";
import {Settlement} from "../src/Settlement.sol";
import {Batch} from "../src/Types.sol";
import {Book} from "./Helpers/Book.sol";
import {Handler} from "./Helpers/Handler.sol";

/// @title What holds after any history.
contract InvariantsTest is StdInvariant, Test {
    Handler internal handler;
    Escrow internal escrow;
    Settlement internal settlement;
    uint256 internal supply;

    function setUp() public {
        handler = new Handler();
        handler.setUp();
        (escrow, settlement) = (handler.theEscrow(), handler.theSettlement());
        supply = handler.totalHeld();
        bytes4[] memory calls = new bytes4[](22);
        calls[0] = Handler.serveSome.selector;
        calls[1] = Handler.serveSome.selector;
        calls[2] = Handler.serveSome.selector;
        calls[3] = Handler.closeBatch.selector;
        calls[4] = Handler.closeBatch.selector;
        calls[5] = Handler.closeBatch.selector;
        calls[6] = Handler.claimAndVanish.selector;
        calls[7] = Handler.restart.selector;
        calls[8] = Handler.passTime.selector;
        calls[9] = Handler.pauseClock.selector;
        calls[10] = Handler.moveBond.selector;
        calls[11] = Handler.depositMore.selector;
        calls[12] = Handler.thawOrWithdraw.selector;
        calls[13] = Handler.refundStep.selector;
        calls[14] = Handler.refundOverdue.selector;
        calls[15] = Handler.claimReward.selector;
        calls[16] = Handler.sweepPending.selector;
        calls[17] = Handler.finalise.selector;
        calls[18] = Handler.convictRogue.selector;
        calls[19] = Handler.accuse.selector;
        calls[20] = Handler.passTime.selector;
        calls[21] = Handler.claimReward.selector;
        targetSelector(FuzzSelector(address(handler), calls));
        targetContract(address(handler));
    }

    /// forge-config: default.invariant.runs = 30
    /// forge-config: default.invariant.depth = 120
    function invariant_money_is_conserved_and_honesty_is_safe() public view {
        Book[2] memory books = handler.nodes();
        address[2] memory payers = handler.payers();
        uint256 inEscrow;
        uint256 bonded;
        for (uint256 i = 0; i < 2; i++) {
            address node = books[i].node();
            for (uint256 k = 0; k < 2; k++) {
                (uint128 balance,) = escrow.accountOf(payers[k], node);
                inEscrow += balance;
            }
            uint256 paid = handler.paid(books[i]);
            inEscrow += escrow.collectionOf(node).collected + handler.owed(books[i]) - paid;
            Settlement.Node memory state = settlement.nodeOf(node);
            uint256 behind = uint256(state.bond) + settlement.unbondingOf(node).amount;
            bonded += behind;

            Batch memory last = books[i].batch(state.last);
            Batch memory kept = handler.latestFinal(books[i]);
            assertLe(paid, kept.settledCumulative, "nothing is paid that is not final");
            assertGe(behind, last.settledCumulative - kept.settledCumulative, "what is open is bonded");
            assertGe(escrow.collectionOf(node).collected, last.settledCumulative);
        }
        assertEq(handler.balanceOf(address(escrow)), inEscrow, "the escrow holds what it owes");
        assertEq(handler.balanceOf(address(settlement)), bonded, "the settlement holds the bonds");
        assertEq(handler.totalHeld(), supply, "no wei is created or lost");
        assertEq(handler.convictions(), 0, "no honest history is slashable");
        assertEq(settlement.nodeOf(books[0].node()).frozenEpoch, 0);
    }

    function afterInvariant() public {
        handler.everyoneLeaves();
        assertEq(handler.totalHeld(), supply);
    }
}
