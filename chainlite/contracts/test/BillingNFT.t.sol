// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {Test} from "forge-std/Test.sol";
import {BillingCard} from "src/BillingCard.sol";
import {BillingNFT} from "src/BillingNFT.sol";
import {Registry} from "src/Registry.sol";
import {Settlement} from "src/Settlement.sol";
import {SumTree} from "src/SumTree.sol";
import {Text} from "src/Text.sol";
import {Batch, BillingProof, Credit, Version} from "src/Types.sol";
import {Book} from "./Helpers/Book.sol";
import {Scene} from "./Helpers/Scene.sol";

/// Bills of a real node's batches; names come from the real registry.
contract BillingNFTTest is Scene {
    BillingNFT private nft;
    Registry private names;
    bytes32[] private none;
    uint64 private number; // of the batch that holds the bills

    function setUp() public override {
        super.setUp();
        names = new Registry(guardian);
        nft = new BillingNFT(settlement, rewards, names);
        modelVersion = named(3, '<script>"&\\', 0, 0);
        adapterVersion = named(4, "pirate", keccak256(abi.encode(modelVersion)), 250_000_000);
        registry.publish(keccak256(abi.encode(modelVersion)));
        registry.publish(keccak256(abi.encode(adapterVersion)));
        book = newBook("a node with names");
        node = book.node();
        deposit(alice, node, 10 ether);
        deposit(bob, node, 10 ether);
    }

    function named(uint8 kind, string memory name, bytes32 base, uint32 basePpb) private returns (Version memory v) {
        bytes32 item = names.createItem(kind, name);
        bytes32 metadata = keccak256(abi.encode(none, none, bytes32(0)));
        v = Version(item, 1, keccak256(bytes(name)), base, adapterOwner, basePpb, metadata);
        names.publishVersion(v, none, none, 0, "");
    }

    /// The node's next batch, with times in its receipts.
    function settle() private {
        number = book.close();
        Book.Served[] memory served = book.receipts(number);
        for (uint256 i = 0; i < served.length; i++) {
            BillingProof memory p = served[i].proof;
            (p.queueMs, p.prefillMs, p.decodeMs) = (12, 340, 1500);
            book.setReceipt(number, i, p, served[i].settled);
        }
        book.submit(book.header(number));
    }

    function proven(uint64 n, uint256 i) private view returns (BillingNFT.Proven memory r) {
        Book.Served memory served = book.receipts(n)[i];
        (r.batch, r.proof, r.settled) = (book.batch(n), served.proof, served.settled);
        r.path = book.receiptPath(n, i);
        (r.price, r.split) = (book.price(served.proof.adapterVersion != 0), split);
    }

    function settled() private {
        serve(aliceKey, true);
        serve(bobKey, false);
        book.serve(aliceKey, 50, 0, 0, true, 4);
        settle();
        pass(WINDOW);
    }

    function test_MintsToThePayerWhatTheReceiptSays() public {
        settled();
        BillingNFT.Proven memory r = proven(number, 0);
        vm.prank(carol); // anyone's transaction
        uint256 id = nft.mint(r);
        assertEq(id, uint256(uint160(node)) << 96 | uint256(number) << 32);
        assertEq(id, nft.idOf(node, number, 0));
        assertEq(nft.ownerOf(id), alice);
        BillingCard.Bill memory bill = nft.billOf(id);
        (uint256 royalty, uint256 compute) = book.fee(r.proof);
        assertEq(bill.royalty, royalty);
        assertEq(bill.compute, compute);
        assertEq(bill.royalty + bill.compute, r.settled);
        assertEq(bill.version, r.proof.adapterVersion);
        assertEq(bill.startTimeMs, r.proof.startTimeMs);
        assertEq(bill.decodeMs, 1500);
        assertEq(bill.submittedAt, r.batch.submittedAt);
        assertEq(bill.modelPpb + bill.dataPpb + bill.validatorsPpb + bill.nodePpb, 1e9);
        assertEq(nft.billOf(nft.mint(proven(number, 1))).version, r.proof.modelVersion);
    }

    function test_MintsOnce() public {
        settled();
        BillingNFT.Proven memory r = proven(number, 1);
        uint256 id = nft.mint(r);
        vm.expectRevert(abi.encodeWithSelector(BillingNFT.AlreadyMinted.selector, id));
        nft.mint(r);
    }

    function test_MintsOnlyWhatIsFinal() public {
        serve(aliceKey, true);
        settle();
        BillingNFT.Proven memory r = proven(number, 0);
        vm.expectRevert(
            abi.encodeWithSelector(Settlement.NotFinal.selector, r.batch.submittedAt + settlement.windowSeconds())
        );
        nft.mint(r);
    }

    function test_RefusesWhatIsNotProven() public {
        settled();
        BillingNFT.Proven memory r = proven(number, 0);
        r.proof.payer = carol;
        vm.expectRevert(SumTree.NotInTree.selector);
        nft.mint(r);
        r = proven(number, 0);
        r.settled -= 1;
        vm.expectRevert(SumTree.NotInTree.selector);
        nft.mint(r);
        r = proven(number, 0);
        r.path.index = 1;
        vm.expectRevert(SumTree.NotInTree.selector);
        nft.mint(r);
        r = proven(number, 0);
        r.batch.settledTotal += 1;
        vm.expectRevert(abi.encodeWithSelector(Settlement.NotABatch.selector, node, number));
        nft.mint(r);
        r = proven(number, 0);
        r.price.inputWei += 1;
        vm.expectRevert(abi.encodeWithSelector(BillingNFT.NotThePrice.selector, r.proof.priceId));
        nft.mint(r);
        r = proven(number, 0);
        r.split.treasury = carol;
        vm.expectRevert(abi.encodeWithSelector(BillingNFT.NotTheSplit.selector, r.proof.splitId));
        nft.mint(r);
    }

    /// A fee of less than the rule says, which nobody challenged: the bill still shows what was settled.
    function test_PartsNeverExceedWhatWasSettled() public {
        serve(aliceKey, false);
        number = book.close();
        Book.Served memory served = book.receipts(number)[0];
        BillingProof memory p = served.proof;
        p.promptTokens += 1_000_000;
        book.setReceipt(number, 0, p, served.settled);
        book.submit(book.header(number));
        pass(WINDOW);
        BillingCard.Bill memory bill = nft.billOf(nft.mint(proven(number, 0)));
        assertEq(bill.royalty, served.settled);
        assertEq(bill.compute, 0);
    }

    function test_AFailedAnswerHasABillOfNothing() public {
        settled();
        uint256 id = nft.mint(proven(number, 2));
        assertEq(nft.billOf(id).royalty + nft.billOf(id).compute, 0);
        assertGt(bytes(nft.tokenURI(id)).length, 1000);
    }

    function test_TheIndexLeavesOutTheNodesOwnHouse() public {
        settled();
        nft.mint(proven(number, 0));
        assertEq(nft.indexOf(node).bills, 1);
        assertEq(nft.indexOf(node).outputTokens, 300);
        assertEq(nft.indexOf(node).decodeMs, 1500);
        vm.prank(node);
        settlement.offerNode(node, bob);
        vm.prank(bob);
        settlement.acceptNode(node);
        nft.mint(proven(number, 1)); // bob pays his own node
        assertEq(nft.indexOf(node).bills, 1);
        vm.prank(alice);
        settlement.offerNode(alice, bob);
        vm.prank(bob);
        settlement.acceptNode(alice);
        nft.mint(proven(number, 2)); // alice's account is bob's by now
        assertEq(nft.indexOf(node).bills, 1);
    }

    function test_TheNodeItselfAsPayerIsNotCounted() public {
        (, uint256 key) = makeAddrAndKey("a node with names");
        deposit(node, node, 1 ether);
        serve(key, false);
        settle();
        pass(WINDOW);
        nft.mint(proven(number, 0));
        assertEq(nft.indexOf(node).bills, 0);
    }

    function test_UnclaimedCreditsFallAsTheyAreClaimed() public {
        settled();
        uint256 id = nft.mint(proven(number, 0));
        string memory before = nft.tokenURI(id);
        Batch memory b = book.batch(number);
        Credit[] memory credits = book.credits(number);
        for (uint256 i = 0; i < credits.length; i++) {
            rewards.claim(b, credits[i].beneficiary, credits[i].cumulative, book.creditPath(number, i));
        }
        assertNotEq(nft.tokenURI(id), before);
        serve(aliceKey, true); // a later batch of the epoch lets more be paid than the bill's batch had credits
        settle();
        pass(WINDOW);
        b = book.batch(number);
        credits = book.credits(number);
        for (uint256 i = 0; i < credits.length; i++) {
            rewards.claim(b, credits[i].beneficiary, credits[i].cumulative, book.creditPath(number, i));
        }
        assertGt(rewards.paidOf(node, b.epoch).paid, nft.billOf(id).creditsTotal);
        assertGt(bytes(nft.tokenURI(id)).length, 1000);
    }

    function test_OnlyMintedBillsHaveMetadata() public {
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 1));
        nft.tokenURI(1);
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 1));
        nft.billOf(1);
    }

    function test_UriIsTheCardsJson() public {
        settled();
        uint256 id = nft.mint(proven(number, 1));
        BillingCard.Context memory c = BillingCard.Context(node, number, 1, ".script....", "WNAT", 0, 1, 200_000);
        c.unclaimed = nft.billOf(id).creditsTotal;
        string memory json = BillingCard.json(nft.billOf(id), c);
        assertEq(nft.tokenURI(id), string.concat("data:application/json;base64,", Base64.encode(bytes(json))));
        assertEq(vm.parseJsonString(json, ".attributes[1].value"), ".script....");
    }

    function test_ABillOfAVersionNobodyNamed() public {
        Registry empty = new Registry(guardian);
        BillingNFT other = new BillingNFT(settlement, rewards, empty);
        settled();
        uint256 id = other.mint(proven(number, 0));
        assertGt(bytes(other.tokenURI(id)).length, 1000);
    }
}

contract BillingCardTest is Test {
    function bill() private pure returns (BillingCard.Bill memory b) {
        b.startTimeMs = 1_764_072_893_000;
        (b.queueMs, b.prefillMs, b.decodeMs) = (12, 340, 1500);
        (b.promptTokens, b.cachedTokens, b.outputTokens) = (1000, 200, 300);
        (b.royalty, b.compute) = (4_000_000_000_000_000, 1_000_000_000_000_000);
        (b.modelPpb, b.dataPpb, b.validatorsPpb, b.nodePpb) = (4e8, 3e8, 2e8, 1e8);
        (b.epoch, b.sequence, b.status, b.meanLogprobMicro) = (1, 7, 1, -250_000);
    }

    function context() private pure returns (BillingCard.Context memory c) {
        c = BillingCard.Context(address(0xabc), 3, 7, "pirate", "WOPEN", 2.5e15, 12, 187_400);
    }

    function has(string memory text, string memory part) private returns (bool) {
        return vm.contains(text, part);
    }

    function test_Json() public {
        string memory json = BillingCard.json(bill(), context());
        assertEq(vm.parseJsonString(json, ".name"), "Bill 3/7");
        assertTrue(has(vm.parseJsonString(json, ".description"), "no claim"));
        assertEq(vm.parseJsonString(json, ".attributes[0].value"), Strings.toHexString(address(0xabc)));
        assertEq(vm.parseJsonString(json, ".attributes[1].value"), "pirate");
        assertEq(vm.parseJsonString(json, ".attributes[2].value"), "complete");
        assertEq(vm.parseJsonUint(json, ".attributes[4].value"), 7);
        assertEq(vm.parseJsonString(json, ".attributes[8].value"), "-250000");
        assertEq(vm.parseJsonString(json, ".attributes[9].value"), "4000000000000000");
        assertEq(vm.parseJsonString(json, ".attributes[12].value"), "187.4");
        string memory image =
            string.concat("data:image/svg+xml;base64,", Base64.encode(bytes(BillingCard.svg(bill(), context()))));
        assertEq(vm.parseJsonString(json, ".image"), image);
    }

    function test_Svg() public {
        string memory svg = BillingCard.svg(bill(), context());
        assertTrue(has(svg, ">pirate<"));
        assertTrue(has(svg, "2025-11-25 12:14:53 UTC"));
        assertTrue(has(svg, "model 0.001600000"));
        assertTrue(has(svg, "data 0.001200000"));
        assertTrue(has(svg, "validators 0.000800000"));
        assertTrue(has(svg, "node 0.000400000"));
        assertTrue(has(svg, "compute 0.001000000"));
        assertTrue(has(svg, "0.005000000 WOPEN"));
        assertTrue(has(svg, "unclaimed credits of the epoch 0.002500000 WOPEN"));
        assertEq(string.concat(svg, "\n"), vm.readFile("test/card.svg")); // open that file to see the card
    }

    function test_StatusAndEmptyBars() public {
        BillingCard.Bill memory b = bill();
        (b.royalty, b.compute, b.status) = (0, 0, 4);
        assertTrue(has(BillingCard.svg(b, context()), "failed"));
        b.status = 2;
        assertTrue(has(BillingCard.svg(b, context()), "complete (length)"));
        b.status = 3;
        assertTrue(has(BillingCard.svg(b, context()), "cancelled"));
    }

    // ---- text ----

    function test_PlainTextCannotLeaveItsString() public pure {
        assertEq(Text.plain("SmolLM2-135M (Q4_1)"), "SmolLM2-135M (Q4_1)");
        assertEq(Text.plain('a"b\\c<d>&\'\n'), "a.b.c.d....");
        assertEq(Text.plain(unicode"Ü"), "..");
        assertEq(bytes(Text.plain(string(new bytes(128)))).length, 40);
    }

    function testFuzz_PlainTextIsHarmless(string memory text) public pure {
        bytes memory out = bytes(Text.plain(text));
        assertLe(out.length, 40);
        for (uint256 i = 0; i < out.length; i++) {
            assertTrue(out[i] >= 0x20 && out[i] <= 0x7e);
            assertTrue(
                out[i] != '"' && out[i] != "'" && out[i] != "\\" && out[i] != "&" && out[i] != "<" && out[i] != ">"
            );
        }
    }

    function test_Coins() public pure {
        assertEq(Text.coins(0), "0.000000000");
        assertEq(Text.coins(1e18 + 1), "1.000000000");
        assertEq(Text.coins(12_345_678_900_000_000_000), "12.345678900");
        assertEq(Text.coins(type(uint128).max), "340282366920938463463.374607431");
    }

    /// Against the calendar of another program (date -u).
    function test_Time() public pure {
        assertEq(Text.time(0), "1970-01-01 00:00:00 UTC");
        assertEq(Text.time(951_782_399), "2000-02-28 23:59:59 UTC");
        assertEq(Text.time(951_782_400), "2000-02-29 00:00:00 UTC");
        assertEq(Text.time(951_868_800), "2000-03-01 00:00:00 UTC");
        assertEq(Text.time(1_735_689_599), "2024-12-31 23:59:59 UTC");
        assertEq(Text.time(4_107_542_400), "2100-03-01 00:00:00 UTC");
        assertEq(Text.time(type(uint64).max / 1000), "584556019-04-03 14:25:51 UTC");
    }
}
