//! Salvage of damaged objects: what is handed out is what was written, always, and what can be saved is saved.
#![cfg(feature = "testing")]

mod reader_support;

use proptest::prelude::*;
use reader_support::{
    Tape, World,
    format::{BLOCK, Object, Recipe, Source, kinds, mixed, records},
    options,
};
use seglift::{
    Code, Result,
    codec::Codec,
    engine::{Call, Engine, EngineOptions},
    maintain::{Context, Gap, Piece, Proof, Salvage, SalvageOptions, Salvaged, Saved},
    object::{Mode, Tail},
    store::MemoryStore,
};
use std::{ops::Range, sync::Arc};

/// What a salvage gave.
struct Got {
    saved: Vec<Saved>,
    gaps: Vec<Gap>,
    end: Salvaged,
}

impl Got {
    fn numbers(&self) -> Vec<u32> {
        self.saved.iter().map(|saved| saved.number).collect()
    }
}

fn world() -> World {
    // Without a cache, so that no copy of before the damage answers.
    let engine =
        Engine::new(EngineOptions { threads: 2, cache_size: 0, ..EngineOptions::default() }).unwrap();
    World::on(engine, Tape::new(Arc::new(MemoryStore::private())), options())
}

fn context(world: &World) -> Context {
    Context {
        store: world.store.clone(),
        reader: world.reader.clone(),
        owner: "cluster-a".into(),
        metrics: world.engine.metrics().clone(),
    }
}

fn salvage(world: &World, key: &str, unchecked: bool) -> Result<Got> {
    let salvage = Salvage::new(context(world), key, SalvageOptions { unchecked });
    let (mut saved, mut gaps) = (Vec::new(), Vec::new());
    loop {
        let op = world.op(&Call::default());
        match world.engine.block_on(&op, salvage.clone().next(op.clone()))? {
            Piece::Saved(block) => saved.push(block),
            Piece::Gap(gap) => gaps.push(gap),
            Piece::End(end) => return Ok(Got { saved, gaps, end }),
        }
    }
}

/// A sound object, and its blocks as they were written.
struct Sound {
    object: Vec<u8>,
    tail: Tail,
    blocks: Vec<(Range<u64>, Range<u64>, Vec<u8>)>,
}

impl Sound {
    fn of(recipe: &Recipe) -> Sound {
        let (object, tail) = recipe.build();
        let mut blocks = Vec::new();
        let opened = Object::open(&object, 64 << 10).unwrap();
        for n in 0..tail.pages().len() {
            for block in opened.page(n).unwrap().blocks() {
                let raw = opened.block(&block).unwrap();
                blocks.push((block.raw, block.stored, raw));
            }
        }
        Sound { object, tail, blocks }
    }

    fn all(&self) -> Vec<u32> {
        (0..self.blocks.len() as u32).collect()
    }

    /// Every block but those whose stored bytes meet `range`.
    fn all_but(&self, range: &Range<usize>) -> Vec<u32> {
        let hit = |stored: &Range<u64>| stored.start < range.end as u64 && (range.start as u64) < stored.end;
        self.all().into_iter().filter(|n| !hit(&self.blocks[*n as usize].1)).collect()
    }

    /// Salvages `damaged` and compares what comes with what was written.
    fn check(&self, world: &World, damaged: Vec<u8>, unchecked: bool, what: &str) -> Got {
        world.put_bytes(what, damaged);
        let got = salvage(world, what, unchecked).unwrap_or_else(|e| panic!("{what}: {e}"));
        let mut next = 0;
        for saved in &got.saved {
            assert!(saved.number >= next, "{what}: out of order");
            next = saved.number + 1;
            if saved.proof == Proof::None {
                assert!(unchecked, "{what}: block {} has no proof", saved.number);
                continue;
            }
            let (raw, _, bytes) = &self.blocks[saved.number as usize];
            assert!(saved.bytes == *bytes, "{what}: block {} is not what was written", saved.number);
            assert!(saved.offset.is_none_or(|offset| offset == raw.start), "{what}: {:?}", saved.offset);
            assert_eq!(saved.mode(), self.tail.mode());
        }
        for gap in &got.gaps {
            assert!(gap.blocks != Some(0), "{what}: {gap:?}");
        }
        assert_eq!(got.end.blocks, got.saved.len() as u64);
        assert_eq!(got.end.gaps, got.gaps.len() as u64);
        if got.end.whole && got.end.tail {
            assert_eq!(got.numbers(), self.all(), "{what}");
        }
        got
    }
}

fn flipped(object: &[u8], at: usize, bit: usize) -> Vec<u8> {
    let mut damaged = object.to_vec();
    damaged[at] ^= 1 << bit;
    damaged
}

#[test]
fn a_sound_object_is_saved_whole() {
    let world = world();
    for (name, recipe) in kinds() {
        let sound = Sound::of(&recipe);
        let got = sound.check(&world, sound.object.clone(), false, name);
        assert!(got.end.whole && got.end.tail && got.gaps.is_empty(), "{name}: {:?}", got.end);
        assert_eq!(got.end.bytes, sound.tail.segment_len());
        assert_eq!(got.end.records, sound.tail.records().map_or(0, |span| span.count));
    }
}

#[test]
fn a_bit_flipped_in_the_data_loses_its_block_and_no_other() {
    let world = world();
    for (name, recipe) in kinds() {
        let sound = Sound::of(&recipe);
        for at in (0..sound.tail.data_len() as usize).step_by(53) {
            let what = format!("{name}-{at}");
            let got = sound.check(&world, flipped(&sound.object, at, at % 8), false, &what);
            assert_eq!(got.numbers(), sound.all_but(&(at..at + 1)), "{what}");
            let [gap] = &got.gaps[..] else { panic!("{what}: {:?}", got.gaps) };
            assert_eq!(gap.blocks, Some(1), "{what}");
            let (raw, ..) = sound.blocks.iter().find(|block| block.1.contains(&(at as u64))).unwrap();
            assert_eq!((gap.offset, gap.len), (Some(raw.start), Some(raw.end - raw.start)), "{what}");
        }
    }
}

#[test]
fn a_bit_flipped_behind_the_data_loses_no_block() {
    let world = world();
    for (name, recipe) in kinds() {
        let sound = Sound::of(&recipe);
        for at in sound.tail.data_len() as usize..sound.object.len() {
            let what = format!("{name}-{at}");
            let got = sound.check(&world, flipped(&sound.object, at, at % 8), false, &what);
            assert_eq!(got.numbers(), sound.all(), "{what}: {:?}", got.gaps);
            // Without a tail nobody knows that an empty segment was empty.
            assert!(got.end.whole || sound.blocks.is_empty(), "{what}: {:?} {:?}", got.end, got.gaps);
        }
    }
}

#[test]
fn of_an_object_cut_at_any_length_all_is_saved_whose_checksums_are_still_there() {
    let world = world();
    for (name, recipe) in kinds() {
        let sound = Sound::of(&recipe);
        let index = sound.tail.index_frame();
        let steps = (0..sound.tail.data_len() as usize).step_by(211);
        for len in steps.chain(sound.tail.data_len() as usize..sound.object.len()) {
            let what = format!("{name}-cut-{len}");
            let got = sound.check(&world, sound.object[..len].to_vec(), false, &what);
            if len as u64 >= index.end {
                assert_eq!(got.numbers(), sound.all(), "{what}: {:?}", got.gaps);
            } else {
                assert!(!got.end.whole, "{what}");
                assert_eq!(got.gaps.last().unwrap().len, None, "{what}: nobody knows how much is missing");
            }
            // An entry takes 4 bytes without a codec, and no more than 74 otherwise.
            let there = (len as u64).saturating_sub(index.start + 8);
            let plain = sound.tail.mode() == Mode::Bytes && sound.tail.codec() == Codec::None;
            let entries = if plain { there / 4 } else { there / 74 };
            assert!(
                got.saved.len() as u64 >= entries.min(sound.blocks.len() as u64),
                "{what}: {:?}",
                got.gaps
            );
        }
    }
}

#[test]
fn what_no_checksum_covers_is_handed_out_only_if_it_was_asked_for() {
    let world = world();
    for (name, recipe) in kinds().into_iter().filter(|(name, _)| !name.starts_with("empty")) {
        let sound = Sound::of(&recipe);
        let last = &sound.blocks.last().unwrap().1;
        let cut = sound.object[..last.end as usize - 1].to_vec();
        let strict = sound.check(&world, cut.clone(), false, name);
        assert_eq!((strict.saved.len(), strict.end.index), (0, false), "{name}");
        let got = sound.check(&world, cut, true, &format!("{name}-unchecked"));
        assert!(got.saved.iter().all(|saved| saved.proof == Proof::None));
        assert!(!got.end.whole);
        let bytes: Vec<u8> = got.saved.iter().flat_map(|saved| saved.bytes.clone()).collect();
        let written: Vec<u8> = sound.blocks.iter().flat_map(|block| block.2.clone()).collect();
        assert!(written.starts_with(&bytes), "{name}");
        assert!(
            bytes.len() >= written.len() - sound.blocks.last().unwrap().2.len(),
            "{name}: {}",
            bytes.len()
        );
    }
}

#[test]
fn blocks_that_changed_places_are_lost_and_never_handed_out_in_the_place_of_others() {
    let world = world();
    // Sound pages, a damaged page, and no tail.
    for what in ["sound", "page", "tail"] {
        let sound = Sound::of(&Recipe::new(Codec::None, Source::Bytes(mixed(40_000))));
        let mut damaged = sound.object.clone();
        let (a, b) = damaged[..2 * BLOCK as usize].split_at_mut(BLOCK as usize);
        a.swap_with_slice(b);
        match what {
            "page" => damaged[sound.tail.page_position(0).start as usize + 15] ^= 1,
            "tail" => damaged[sound.tail.position().end as usize - 20] ^= 1,
            _ => {}
        }
        let got = sound.check(&world, damaged, false, what);
        let lost = if what == "page" { 0..4 } else { 0..2 };
        let left: Vec<u32> = sound.all().into_iter().filter(|n| !lost.contains(n)).collect();
        // The page's last entry is damaged: its block has nothing to be proven by.
        let left: Vec<u32> = if what == "page" { [vec![2], left].concat() } else { left };
        assert_eq!(got.numbers(), left, "{what}");
    }
}

#[test]
fn a_list_of_blocks_that_the_content_vouches_for_counts_in_the_budget() {
    const BLOCKS: usize = 3000;
    let world = world();
    let mut recipe = Recipe::new(Codec::None, Source::Bytes(mixed(BLOCKS * BLOCK as usize)));
    recipe.page_size = 4096;
    let (mut object, tail) = recipe.build();
    world.put_bytes("whole", object.clone());
    let page = tail.page_position(0);
    object[page.start as usize..page.end as usize].fill(0);
    world.put_bytes("page", object);
    let begun = |key: &str| {
        let salvage = Salvage::new(context(&world), key, SalvageOptions { unchecked: false });
        let op = world.op(&Call::default());
        let Piece::Saved(first) = world.engine.block_on(&op, salvage.clone().next(op.clone())).unwrap()
        else {
            panic!("{key}: the first block is not saved")
        };
        (first.proof, world.engine.status().budget.reads)
    };
    let (proof, whole) = begun("whole");
    assert_eq!(proof, Proof::Crc32c);
    let (proof, reads) = begun("page");
    assert_eq!(proof, Proof::Content);
    // Number and CRC32C of each block of the page; room for all the others was given back.
    let blocks = u64::from(tail.pages()[0].blocks.end);
    assert!(blocks < BLOCKS as u64);
    assert_eq!(reads - whole, 8 * blocks);
}

#[test]
fn blocks_of_a_lost_page_are_proven_by_the_content_as_a_whole_or_not_at_all() {
    let world = world();
    for (name, recipe) in kinds().into_iter().filter(|(name, _)| !name.starts_with("empty")) {
        let sound = Sound::of(&recipe);
        let mut damaged = sound.object.clone();
        let page = sound.tail.page_position(0);
        damaged[page.start as usize..page.end as usize].fill(0);
        let got = sound.check(&world, damaged.clone(), false, name);
        assert_eq!(got.numbers(), sound.all(), "{name}: {:?}", got.gaps);
        assert!(got.saved.iter().any(|saved| saved.proof == Proof::Content) && got.end.whole, "{name}");
        // Another block is damaged, too: now nothing vouches for those of the page.
        let last = &sound.blocks.last().unwrap().1;
        damaged[last.end as usize - 1] ^= 1;
        let got = sound.check(&world, damaged, false, &format!("{name}-two"));
        let lost = sound.tail.pages()[0].blocks.clone();
        let left: Vec<u32> = sound
            .all()
            .into_iter()
            .filter(|n| !lost.contains(n) && *n + 1 < sound.blocks.len() as u32)
            .collect();
        assert_eq!(got.numbers(), left, "{name}");
        assert!(got.gaps[0].unproven > 0, "{name}: {:?}", got.gaps);
    }
}

#[test]
fn the_first_block_may_be_the_damaged_one_although_the_tail_is_gone() {
    let world = world();
    for (name, recipe) in kinds().into_iter().filter(|(name, _)| !name.starts_with("empty")) {
        let sound = Sound::of(&recipe);
        let mut damaged = flipped(&sound.object, 0, 3);
        damaged.truncate(sound.tail.position().start as usize);
        let got = sound.check(&world, damaged, false, name);
        assert_eq!(got.numbers(), sound.all()[1..], "{name}: {:?}", got.gaps);
    }
}

#[test]
fn an_index_whose_frame_says_too_little_is_not_taken_for_all_of_it() {
    let world = world();
    for (name, recipe) in kinds().into_iter().filter(|(name, _)| !name.starts_with("empty")) {
        let sound = Sound::of(&recipe);
        let frame = sound.tail.index_frame().start as usize;
        let mut damaged = sound.object.clone();
        let len = u32::from_le_bytes(damaged[frame + 4..frame + 8].try_into().unwrap());
        damaged[frame + 4..frame + 8].copy_from_slice(&(len / 2).to_le_bytes());
        let end = sound.tail.position().end as usize;
        damaged[end - 20] ^= 1;
        let got = sound.check(&world, damaged, false, name);
        assert!(!got.end.whole && got.gaps.last().unwrap().len.is_none(), "{name}: {:?}", got.gaps);
    }
}

#[test]
fn a_gap_names_the_ids_that_may_be_missing() {
    let world = world();
    let given = records(60);
    for tail_too in [false, true] {
        let sound = Sound::of(&Recipe::new(Codec::Zstd, Source::Records(given.clone())));
        let third = sound.blocks[2].1.clone();
        let mut damaged = flipped(&sound.object, third.end as usize - 1, 0);
        if tail_too {
            damaged[sound.tail.position().end as usize - 20] ^= 1;
        }
        let got = sound.check(&world, damaged, false, &format!("records-{tail_too}"));
        let [gap] = &got.gaps[..] else { panic!("{:?}", got.gaps) };
        let ids: Vec<u64> =
            got.saved.iter().flat_map(|saved| saved.records().map(|r| r.0).collect::<Vec<_>>()).collect();
        let missing: Vec<u64> = given.iter().map(|r| r.0).filter(|id| !ids.contains(id)).collect();
        assert!(!missing.is_empty());
        let (first, last) = (gap.first_id.unwrap(), gap.last_id.unwrap());
        assert!(missing.iter().all(|id| (first..=last).contains(id)), "{gap:?} {missing:?}");
        assert!(ids.iter().all(|id| !(first..=last).contains(id)), "{gap:?}");
    }
}

#[test]
fn damage_on_the_way_is_not_damage_in_the_store() {
    // Get 1 is the tail, then pages and blocks.
    for n in 1..5 {
        let world = World::with(options(), &format!("get={n}:flip-100"));
        let recipe = Recipe::new(Codec::Zstd, Source::Bytes(mixed(20_000)));
        let sound = Sound::of(&recipe);
        let got = sound.check(&world, sound.object.clone(), false, "k");
        assert!(got.end.whole, "get {n}: {:?}", got.gaps);
    }
}

#[test]
fn what_is_not_there_or_is_newer_is_an_error() {
    let world = world();
    assert_eq!(salvage(&world, "nosuch", false).err().map(|e| e.code()), Some(Code::NotFound));
    let mut sound = Sound::of(&Recipe::new(Codec::None, Source::Bytes(mixed(5000))));
    let flags = reader_support::format::flags_at(&sound.tail);
    sound.object[flags] |= 2;
    reader_support::format::reseal(&mut sound.object, &sound.tail);
    world.put_bytes("newer", sound.object);
    assert_eq!(salvage(&world, "newer", false).err().map(|e| e.code()), Some(Code::UnsupportedVersion));
}

#[test]
fn what_is_no_object_of_ours_gives_nothing() {
    let world = world();
    for (key, bytes) in [("empty", vec![]), ("short", vec![7; 10]), ("long", mixed(300_000))] {
        world.put_bytes(key, bytes);
        let got = salvage(&world, key, false).unwrap();
        assert_eq!((got.saved.len(), got.end.index, got.end.whole), (0, false, false), "{key}");
        assert_eq!(got.gaps.len(), 1);
    }
}

/// Damage of any kind.
#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, usize),
    Fill(usize, usize, u8),
    Copy(usize, usize, usize),
    Cut(usize),
    Insert(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    // Half of it behind the data, where meaning is dense.
    let at = prop_oneof![0usize..1 << 20, (0usize..1000).prop_map(|back| usize::MAX - back)];
    prop_oneof![
        4 => (at.clone(), 0usize..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (at.clone(), 1usize..3000, any::<u8>()).prop_map(|(at, len, b)| Damage::Fill(at, len, b)),
        2 => (at.clone(), at.clone(), 1usize..5000).prop_map(|(from, to, len)| Damage::Copy(from, to, len)),
        1 => at.clone().prop_map(Damage::Cut),
        1 => (at, 1usize..100).prop_map(|(at, len)| Damage::Insert(at, len)),
    ]
}

fn apply(object: &mut Vec<u8>, damage: &Damage) {
    let len = object.len();
    if len == 0 {
        return;
    }
    let place = |at: usize| if at > 1 << 30 { len.saturating_sub(1 + (usize::MAX - at)) } else { at % len };
    match *damage {
        Damage::Flip(at, bit) => object[place(at)] ^= 1 << bit,
        Damage::Fill(at, n, byte) => {
            let at = place(at);
            object[at..len.min(at + n)].fill(byte);
        }
        Damage::Copy(from, to, n) => {
            let (from, to) = (place(from), place(to));
            let n = n.min(len - from).min(len - to);
            object.copy_within(from..from + n, to);
        }
        Damage::Cut(at) => object.truncate(place(at)),
        Damage::Insert(at, n) => {
            let at = place(at);
            drop(object.splice(at..at, std::iter::repeat_n(0x5A, n)));
        }
    }
}

/// How many objects; `SCALE=full` makes it a long run.
fn cases() -> u32 {
    if std::env::var("SCALE").is_ok_and(|scale| scale == "full") { 20_000 } else { 300 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_to_an_object_what_is_handed_out_is_what_was_written(
        kind in 0usize..6,
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        let world = world();
        let (name, recipe) = kinds().swap_remove(kind);
        let sound = Sound::of(&recipe);
        let mut damaged = sound.object.clone();
        damages.iter().for_each(|damage| apply(&mut damaged, damage));
        sound.check(&world, damaged, false, name);
    }
}
