//! `seglift offload`: files and streams into a store, one object each.

use crate::{
    app::{App, digest, joined},
    args,
    failure::{Failure, local},
    inflight::{Inflight, unexpected},
    input::Input,
    span::Span,
    talk::Progress,
};
use indicatif::HumanBytes;
use seglift::{
    Code, Error, Result,
    codec::Codec,
    driver::{Driver, Outcome},
    engine::Call,
    object::{Metadata, Mode, limits::MAX_PAYLOAD},
    writer::{
        Attachment, AttachmentData, Finish, IfExists, Receipt, Record, Segment, Source, Writer, WriterOptions,
    },
};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{self, BufRead, Read},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// Where the bytes come from.
enum Origin {
    /// A regular file, which can be read again: parts that fail are sent again from it.
    File {
        /// Its length in bytes.
        length: u64,
    },
    /// Standard input, a pipe, a device.
    Stream(Box<dyn Read + Send>),
}

/// Offloads the files one after the other and prints a key for each, once it is committed.
pub fn run(app: &mut App, args: &args::Offload) -> Result<(), Failure> {
    let several = args.files.len() > 1;
    let refuse = |why: &str| Err(Failure::Error(Error::new(Code::InvalidArgument, why)));
    if several && args.key.is_some() {
        return refuse(
            "--key names one object, but there are several files; use --prefix, or offload them one by one",
        );
    }
    if several && !args.attachments.is_empty() {
        return refuse(
            "--attach belongs to one segment, but there are several files; offload them one by one",
        );
    }
    if args.files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return refuse("standard input (-) can be read only once");
    }
    offsets(args)?;
    let driver = app.writing_driver(&args.to)?;
    let _hold = app.interrupt.hold();
    for file in &args.files {
        let key = match key(args, file) {
            Ok(key) => key,
            Err(error) => {
                app.failed(json!({"file": file.display().to_string(), "store": args.to}), &error)?;
                continue;
            }
        };
        match offload(app, &driver, args, file, &key) {
            Ok(receipt) => {
                let existed = if receipt.existed { ", was there already" } else { "" };
                let resumed = match receipt.resumed_bytes {
                    0 => String::new(),
                    bytes => format!(", {} of it sent before", HumanBytes(bytes)),
                };
                app.out.result(|| to_json(file, &args.to, &receipt), || receipt.key.clone())?;
                app.talk.note(format_args!(
                    "{}: {} in {}{existed}{resumed}",
                    shown(file),
                    HumanBytes(receipt.segment_bytes),
                    HumanBytes(receipt.object_bytes),
                ));
            }
            Err(error) => {
                let error = error.context(shown(file));
                app.failed(
                    json!({"file": file.display().to_string(), "store": args.to, "key": key}),
                    &error,
                )?;
            }
        }
    }
    Ok(())
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn shown(file: &Path) -> String {
    if is_stdin(file) { "standard input".into() } else { file.display().to_string() }
}

/// The key that was told, or the file's name and a fresh UUID: never one that is taken.
fn key(args: &args::Offload, file: &Path) -> Result<String> {
    if let Some(key) = &args.key {
        return Ok(key.clone());
    }
    let name = if is_stdin(file) { Some("stdin") } else { file.file_name().and_then(|name| name.to_str()) };
    match name {
        Some(name) => Ok(format!("{}{name}-{}", args.prefix, Uuid::new_v4())),
        None => Err(Error::new(
            Code::InvalidArgument,
            format!("{}: no key can be made of this name; give --key", file.display()),
        )),
    }
}

fn offload(app: &App, driver: &Driver, args: &args::Offload, file: &Path, key: &str) -> Result<Receipt> {
    let mut progress = app.talk.progress(&shown(file));
    match origin(file)? {
        Origin::File { length } if !args.records => {
            let segment = Segment {
                attachments: attachments(args),
                metadata: metadata(args)?,
                offsets: offsets(args)?,
                if_exists: if_exists(args),
                codec: codec(args),
                resume: resume(args, file),
                ..Segment::new(key, Source::Path { path: file.to_path_buf(), offset: 0, len: None })
            };
            let call = Call { deadline: app.deadline("deadline.offload", length)?, ..app.call() };
            let mut inflight = Inflight::new(driver, 1)?;
            inflight.submit(|slot| driver.offload_submit(segment, &call, slot))?;
            match inflight.next(|done, total| progress.update(done, total))? {
                Outcome::Receipt(receipt) => Ok(*receipt),
                other => Err(unexpected(&other)),
            }
        }
        Origin::File { .. } => {
            let source = File::open(file).map_err(|error| local("it cannot be opened", &error))?;
            stream(app, driver, args, key, Box::new(source), progress)
        }
        Origin::Stream(_) if args.resume.is_some() => Err(Error::new(
            Code::InvalidArgument,
            "--resume needs a file that can be read again; write the stream into one, or leave --resume out",
        )),
        Origin::Stream(source) => stream(app, driver, args, key, source, progress),
    }
}

/// The resume file: the one that was told, or one beside the segment.
fn resume(args: &args::Offload, file: &Path) -> Option<PathBuf> {
    let told = args.resume.as_ref()?;
    told.clone().or_else(|| {
        let mut name = file.as_os_str().to_owned();
        name.push(".seglift-resume");
        Some(name.into())
    })
}

fn origin(file: &Path) -> Result<Origin> {
    if is_stdin(file) {
        return Ok(Origin::Stream(Box::new(io::stdin())));
    }
    let unreadable = |error: io::Error| local("it cannot be opened", &error);
    let metadata = fs::metadata(file).map_err(unreadable)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(Error::new(Code::SourceFailed, "it is a directory; name the files in it"));
    }
    if kind.is_file() {
        return Ok(Origin::File { length: metadata.len() });
    }
    Ok(Origin::Stream(Box::new(File::open(file).map_err(unreadable)?)))
}

/// Pushes what arrives through a streaming writer: its length is known only at the end.
fn stream(
    app: &App,
    driver: &Driver,
    args: &args::Offload,
    key: &str,
    source: Box<dyn Read + Send>,
    mut progress: Progress<'_>,
) -> Result<Receipt> {
    let mut input =
        Input::new(source, app.interrupt.cancel()).map_err(|error| local("it cannot be read", &error))?;
    let call = app.call();
    let options = WriterOptions {
        key: key.to_string(),
        mode: if args.records { Mode::Records } else { Mode::Bytes },
        codec: codec(args),
        if_exists: if_exists(args),
        max_bytes: None,
        metadata: metadata(args)?,
    };
    let writer = driver.writer(options, &call, None)?;
    let pushed = if args.records {
        push_lines(&writer, &mut input, args.first_id, &call, &mut progress)
    } else {
        push_bytes(&writer, &mut input, &call, &mut progress)
    };
    if let Err(error) = pushed {
        // The first error is the one to report; a failed abort leaves what `reap` removes.
        let _ = writer.abort(&Call::default());
        return Err(error);
    }
    writer.commit(Finish { attachments: attachments(args), offsets: offsets(args)?, expected: None }, &call)
}

fn push_bytes(writer: &Writer, input: &mut Input, call: &Call, progress: &mut Progress<'_>) -> Result<()> {
    let mut done = 0;
    loop {
        let piece = input.fill_buf().map_err(|error| local("it cannot be read", &error))?;
        if piece.is_empty() {
            return Ok(());
        }
        let written = writer.write(piece, call)?;
        input.consume(written);
        done += written as u64;
        progress.update(done, 0);
    }
}

/// Each line is a record, without its newline; the last one may lack it. Their time is 0: a time of
/// ours would make a repeated offload another content, which a retry must not be.
fn push_lines(
    writer: &Writer,
    input: &mut Input,
    first: u64,
    call: &Call,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let mut line = Vec::new();
    let (mut id, mut done) = (Some(first), 0);
    loop {
        line.clear();
        // One more than allowed, for the newline; a longer line is refused before it fills memory.
        let read = input.take(MAX_PAYLOAD as u64 + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| local("it cannot be read", &error))? == 0 {
            return Ok(());
        }
        done += line.len() as u64;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let this = id.ok_or_else(|| {
            Error::new(Code::InvalidArgument, "there are more records than ids above --first-id")
        })?;
        writer
            .append(Record { id: this, time_us: 0, payload: &line }, call)
            .map_err(|error| error.context(format_args!("record {this}")))?;
        id = this.checked_add(1);
        progress.update(done, 0);
    }
}

fn attachments(args: &args::Offload) -> Vec<Attachment> {
    let attachment = |(name, path): &(String, String)| Attachment {
        name: name.clone(),
        data: AttachmentData::Path(path.into()),
    };
    args.attachments.iter().map(attachment).collect()
}

fn metadata(args: &args::Offload) -> Result<Metadata> {
    let mut metadata = Metadata::new();
    for (name, value) in &args.metadata {
        metadata.insert(name, value.as_bytes())?;
    }
    Ok(metadata)
}

fn offsets(args: &args::Offload) -> Result<Option<(u64, u64)>> {
    match args.offsets.as_deref().map(|text| Span::parse("--offsets", text)).transpose()? {
        None => Ok(None),
        Some(Span::Closed(first, last)) => Ok(Some((first, last))),
        Some(Span::Last(_)) => {
            Err(Error::new(Code::InvalidArgument, "--offsets needs a first offset, as in 0-99"))
        }
    }
}

fn codec(args: &args::Offload) -> Option<Codec> {
    args.codec.map(|codec| match codec {
        args::Codec::Zstd => Codec::Zstd,
        args::Codec::None => Codec::None,
    })
}

fn if_exists(args: &args::Offload) -> IfExists {
    match args.if_exists {
        args::IfExists::Same => IfExists::SucceedIfSame,
        args::IfExists::SameSegment => IfExists::SucceedIfSameSegment,
        args::IfExists::Fail => IfExists::Fail,
    }
}

fn to_json(file: &Path, store: &str, receipt: &Receipt) -> Value {
    joined(
        json!({"file": file.display().to_string(), "store": store, "key": receipt.key}),
        json!({
            "object_id": receipt.object_id.to_string(),
            "segment_bytes": receipt.segment_bytes,
            "object_bytes": receipt.object_bytes,
            "crc64nvme": digest(receipt.crc64nvme),
            "blocks": receipt.blocks,
            "records": receipt.records,
            "codec": receipt.codec.name(),
            "mode": receipt.mode.name(),
            "existed": receipt.existed,
            "atomic_create": receipt.atomic_create,
            "resumed_bytes": receipt.resumed_bytes,
        }),
    )
}
