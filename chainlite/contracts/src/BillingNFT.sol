// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {BillingCard} from "./BillingCard.sol";
import {Registry} from "./Registry.sol";
import {Rewards} from "./Rewards.sol";
import {Rules} from "./Rules.sol";
import {Settlement} from "./Settlement.sol";
import {SumTree} from "./SumTree.sol";
import {Text} from "./Text.sol";
import {Batch, BillingProof, Path, Price, Split, priceIdOf, proofHash, receiptLeaf, splitIdOf} from "./Types.sol";

/// @title A bill as a token (docs/protocol.md §8).
/// @notice Minted by whoever shows that the receipt stands in a final batch, always to the receipt's payer, once: the id is
/// the receipt's place. It is a record; it confers no claim on fees, credits or rewards. What it shows is kept at minting,
/// but the node's index and the unclaimed credits, which are looked up.
contract BillingNFT is ERC721 {
    using BillingCard for BillingCard.Bill;

    /// @dev Of a node: the minted bills whose payer is not of the node's own house.
    struct Index {
        uint64 bills;
        uint64 outputTokens;
        uint64 decodeMs;
    }

    /// @dev What a mint shows: a receipt, its place, and the rows behind its ids.
    struct Proven {
        Batch batch;
        BillingProof proof;
        uint128 settled;
        Path path;
        Price price;
        Split split;
    }

    Settlement public immutable settlement;
    Rewards public immutable rewards;
    Registry public immutable registry;

    string private _symbol; // of the payment asset
    mapping(uint256 tokenId => BillingCard.Bill) private _bills;
    mapping(address node => Index) private _indices;

    error AlreadyMinted(uint256 tokenId);
    error NotThePrice(bytes32 expected);
    error NotTheSplit(bytes32 expected);

    constructor(Settlement settlement_, Rewards rewards_, Registry registry_) ERC721("OpenLoRA bill", "BILL") {
        (settlement, rewards, registry) = (settlement_, rewards_, registry_);
        _symbol = Text.plain(IERC20Metadata(address(settlement_.asset())).symbol());
    }

    function idOf(address node, uint64 batch, uint32 leaf) public pure returns (uint256) {
        return uint256(uint160(node)) << 96 | uint256(batch) << 32 | leaf;
    }

    function mint(Proven calldata r) external returns (uint256 tokenId) {
        settlement.requireFinal(r.batch);
        bytes32 leaf = receiptLeaf(proofHash(r.proof), r.settled);
        SumTree.verify(r.batch.receiptsRoot, r.batch.settledTotal, r.batch.count, leaf, r.settled, r.path);
        if (priceIdOf(r.price) != r.proof.priceId) revert NotThePrice(r.proof.priceId);
        if (splitIdOf(r.split) != r.proof.splitId) revert NotTheSplit(r.proof.splitId);
        tokenId = idOf(r.batch.node, r.batch.number, r.path.index);
        if (_ownerOf(tokenId) != address(0)) revert AlreadyMinted(tokenId);
        _mint(r.proof.payer, tokenId); // not _safeMint: the payer did not choose when, nor to be called
        _keep(_bills[tokenId], r.batch, r.proof);
        _keepMoney(_bills[tokenId], r);
        _count(r.batch.node, r.proof);
    }

    function _keep(BillingCard.Bill storage bill, Batch calldata batch, BillingProof calldata proof) private {
        (bill.startTimeMs, bill.queueMs, bill.prefillMs, bill.decodeMs) =
        (proof.startTimeMs, proof.queueMs, proof.prefillMs, proof.decodeMs);
        (bill.promptTokens, bill.cachedTokens, bill.outputTokens) =
        (proof.promptTokens, proof.cachedTokens, proof.outputTokens);
        bill.version = proof.adapterVersion != 0 ? proof.adapterVersion : proof.modelVersion;
        (bill.sequence, bill.meanLogprobMicro, bill.status) = (proof.sequence, proof.meanLogprobMicro, proof.status);
        (bill.epoch, bill.submittedAt, bill.creditsTotal) = (batch.epoch, batch.submittedAt, batch.creditsTotal);
    }

    /// @dev Royalty and compute add up to what was settled even if the receipt broke the fee rule and nobody challenged it.
    function _keepMoney(BillingCard.Bill storage bill, Proven calldata r) private {
        (uint256 royalty,) = r.settled == 0 ? (0, 0) : Rules.fee(r.price, r.proof);
        bill.royalty = royalty < r.settled ? uint128(royalty) : r.settled;
        bill.compute = r.settled - bill.royalty;
        (bill.modelPpb, bill.dataPpb) = (r.split.modelPpb, r.split.dataPpb);
        (bill.validatorsPpb, bill.nodePpb) = (r.split.validatorsPpb, r.split.nodePpb);
    }

    /// @dev Bills that a node's owner pays to itself say nothing of what others get.
    function _count(address node, BillingProof calldata proof) private {
        address owner = settlement.ownerOf(node);
        if (proof.payer == node || proof.payer == owner || settlement.ownerOf(proof.payer) == owner) return;
        Index storage index = _indices[node];
        index.bills += 1;
        index.outputTokens += proof.outputTokens;
        index.decodeMs += proof.decodeMs;
    }

    // ---- what is shown ----

    function billOf(uint256 tokenId) external view returns (BillingCard.Bill memory) {
        _requireOwned(tokenId);
        return _bills[tokenId];
    }

    function indexOf(address node) external view returns (Index memory) {
        return _indices[node];
    }

    function tokenURI(uint256 tokenId) public view override returns (string memory) {
        _requireOwned(tokenId);
        return BillingCard.uri(_bills[tokenId], _context(tokenId));
    }

    function _context(uint256 tokenId) private view returns (BillingCard.Context memory c) {
        BillingCard.Bill storage bill = _bills[tokenId];
        (c.node, c.batch, c.leaf) = (address(uint160(tokenId >> 96)), uint64(tokenId >> 32), uint32(tokenId));
        string memory name = Text.plain(registry.nameOf(registry.itemOfVersion(bill.version)));
        c.name = bytes(name).length == 0 ? "unknown model" : name;
        c.symbol = _symbol;
        uint256 paid = rewards.paidOf(c.node, bill.epoch).paid;
        c.unclaimed = bill.creditsTotal > paid ? bill.creditsTotal - paid : 0;
        Index memory index = _indices[c.node];
        c.bills = index.bills;
        c.milliTokensPerSecond = index.decodeMs == 0 ? 0 : uint256(index.outputTokens) * 1e6 / index.decodeMs;
    }
}
