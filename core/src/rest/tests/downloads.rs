//! Gets files in the record folder.
//! Gives them over HTTP: whole, in ranges, by version, growing, to many at once.

use super::*;

#[test]
fn a_file_is_sent_whole_with_its_type_version_and_name() {
    let served = Served::new();
    for (name, media_type) in [("a.mp4", "video/mp4"), ("a.ts", "video/mp2t"), ("a.webm", "video/webm")] {
        let bytes = served.place(name, 700_000);
        let path = format!("/client/records/{name}");
        let answer = served.get(&path, &[]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, bytes);
        assert_eq!(answer.header("content-type"), Some(media_type));
        assert_eq!(answer.header("content-length"), Some("700000"));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        let disposition = format!("inline; filename=\"{name}\"");
        assert_eq!(answer.header("content-disposition"), Some(disposition.as_str()));
        let head = served.send("HEAD", &path, &[], b"");
        assert!(head.body.is_empty());
        for name in [
            "content-type",
            "content-length",
            "etag",
            "last-modified",
            "content-disposition",
        ] {
            assert_eq!(head.header(name), answer.header(name), "{name}");
        }
        let attachment = served.get(&format!("{path}?download=1"), &[]);
        assert!(
            attachment
                .header("content-disposition")
                .unwrap()
                .starts_with("attachment;")
        );
    }
    served.place("empty.mp4", 0);
    let empty = served.get("/client/records/empty.mp4", &[]);
    assert_eq!((empty.status, empty.header("content-length")), (200, Some("0")));
}

#[test]
fn ranges_are_sent_one_or_several_or_refused() {
    let served = Served::new();
    let bytes = served.place("a.mp4", 1_000_000);
    let path = "/client/records/a.mp4";
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=300000-799999", 300_000, 800_000),
        ("bytes=999990-", 999_990, 1_000_000),
        ("bytes=-10", 999_990, 1_000_000),
        ("bytes=0-99999999", 0, 1_000_000),
    ] {
        let answer = served.get(path, &[("Range", range)]);
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.body, &bytes[from..to], "{range}");
        let content_range = format!("bytes {from}-{}/1000000", to - 1);
        assert_eq!(answer.header("content-range"), Some(content_range.as_str()));
    }
    let several = served.get(path, &[("Range", "bytes=0-9,500000-500019,-5")]);
    assert_eq!(several.status, 206);
    let boundary = several
        .header("content-type")
        .unwrap()
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut wanted = Vec::new();
    for (from, to) in [(0, 10), (500_000, 500_020), (999_995, 1_000_000)] {
        let head = format!(
            "--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes {from}-{}/1000000\r\n\r\n",
            to - 1
        );
        wanted.extend_from_slice(head.as_bytes());
        wanted.extend_from_slice(&bytes[from..to]);
        wanted.extend_from_slice(b"\r\n");
    }
    wanted.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    assert_eq!(several.body, wanted);
    assert_eq!(several.header("content-length").unwrap(), wanted.len().to_string());

    let outside = served.get(path, &[("Range", "bytes=1000000-")]);
    assert_eq!(
        outside.error(),
        (416, "invalid_argument".to_owned(), "Range".to_owned())
    );
    assert_eq!(outside.header("content-range"), Some("bytes */1000000"));
    let head = served.send("HEAD", path, &[("Range", "bytes=0-9")], b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000000")));
}

#[test]
fn versions_are_told_and_asked_for() {
    let served = Served::new();
    served.place("a.mp4", 1000);
    let path = "/client/records/a.mp4";
    let first = served.get(path, &[]);
    let (etag, modified) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    let status = |headers: &[(&str, &str)]| served.get(path, headers).status;
    assert_eq!(status(&[("If-None-Match", etag)]), 304);
    assert_eq!(status(&[("If-Modified-Since", modified)]), 304);
    assert_eq!(status(&[("If-Match", "\"other\"")]), 412);
    assert_eq!(status(&[("If-Range", etag), ("Range", "bytes=0-9")]), 206);
    assert_eq!(status(&[("If-Range", modified), ("Range", "bytes=0-9")]), 206);
    assert_eq!(status(&[("If-Range", "\"other\""), ("Range", "bytes=0-9")]), 200);
    std::fs::remove_file(served.records().join("a.mp4")).unwrap();
    served.place("a.mp4", 1001);
    assert_eq!(status(&[("If-None-Match", etag)]), 200);
    assert_eq!(
        status(&[("If-Range", etag), ("Range", "bytes=0-9")]),
        200,
        "another file by now"
    );
}

#[test]
fn names_of_every_kind_are_listed_and_their_urls_lead_to_them() {
    let served = Served::new();
    let names = [
        "plain.mp4",
        "Tür {endTime}.webm",
        "100%25.ts",
        "a+b&c=d#e?f.mp4",
        "\"quoted\".mp4",
        "日本.mp4",
    ];
    for (at, name) in names.iter().enumerate() {
        served.place(name, at + 1);
    }
    for hidden in [
        ".hidden.mp4",
        "a.growing",
        "b-1.mp4.growing.json",
        ".b.growing.partial",
        "notes.txt",
        "mp4",
        ".mp4",
    ] {
        served.place(hidden, 5);
    }
    std::fs::create_dir(served.records().join("folder.mp4")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", served.records().join("link.mp4")).unwrap();
    for path in ["/client/records/", "/client/records"] {
        let listed = served.get(path, &[]).json();
        assert_eq!(listed.as_array().unwrap().len(), names.len(), "{listed}");
        for file in listed.as_array().unwrap() {
            let at = names.iter().position(|name| file["name"] == *name).unwrap();
            assert_eq!(file["size_bytes"], at + 1);
            assert!(file["modified_unix_ms"].as_u64().unwrap() > 1_600_000_000_000);
            let answer = served.get(file["url"].as_str().unwrap(), &[]);
            assert_eq!((answer.status, answer.body.len()), (200, at + 1), "{file}");
        }
    }
}

#[test]
fn a_growing_file_is_fetched_as_it_stands_and_a_player_reads_it() {
    let served = Served::new();
    let (_publisher, id) = served.publish("cam");
    let started = served.event("recording_started");
    // Two seconds of it have to lie on the disk.
    let written = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(20));
        served.engine.recordings()
    });
    let info = written.flatten().find(|info| info.duration_ms >= 2000).unwrap();
    assert_eq!(info.media_session_id, id);
    let by_name = super::super::router::record_url(started["file_name"].as_str().unwrap());
    let by_id = format!("/client/records/{}", info.recording_id);
    for path in [by_name, by_id] {
        let answer = served.get(&path, &[]);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("video/mp4"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("etag"), None);
        let file = served.folder.path().join("growing.mp4");
        std::fs::write(&file, &answer.body).unwrap();
        assert!(ffprobe_seconds(&file) > 1.0);
        let decoded = Command::new("ffmpeg")
            .args(["-v", "error", "-i", file.to_str().unwrap(), "-f", "null", "-"])
            .output()
            .unwrap();
        assert!(
            decoded.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&decoded.stderr)
        );
    }
    // Its name in the folder is nobody's business.
    let growing = format!("/client/records/{}-1.mp4.growing", info.recording_id);
    assert_eq!(served.get(&growing, &[]).status, 404);
}

#[test]
fn curl_resumes_a_download_that_broke_off_byte_for_byte() {
    let served = Served::new();
    let bytes = served.place("a.mp4", 3_000_000);
    let part = served.folder.path().join("part.mp4");
    std::fs::write(&part, &bytes[..1_234_567]).unwrap();
    let url = format!("http://{}/client/records/a.mp4", served.http);
    let curl = Command::new("curl")
        .args(["-sS", "--fail", "-C", "-", "-o", part.to_str().unwrap(), &url])
        .status()
        .unwrap();
    assert!(curl.success());
    assert_eq!(std::fs::read(part).unwrap(), bytes);
}

#[test]
fn two_hundred_downloads_at_once_arrive_whole() {
    let served = Served::with(RestOptions {
        http_max_connections: 512,
        ..RestOptions::default()
    });
    let bytes = served.place("a.mp4", 1_000_000);
    std::thread::scope(|scope| {
        let downloads: Vec<_> = (0..200)
            .map(|_| scope.spawn(|| served.get("/client/records/a.mp4", &[]).body == bytes))
            .collect();
        assert!(downloads.into_iter().all(|download| download.join().unwrap()));
    });
}

/// A clip's path, answer and file.
fn clip(served: &Served, url: &str, query: &str) -> (Answer, std::path::PathBuf) {
    let answer = served.get(&format!("{url}?{query}"), &[]);
    let path = served.folder.path().join("clip.mp4");
    std::fs::write(&path, &answer.body).unwrap();
    (answer, path)
}

#[test]
fn a_clip_is_made_once_kept_under_its_name_and_bad_times_are_refused_in_words() {
    let served = Served::new();
    let source = served.records().join("cam.mp4");
    let made = Command::new("ffmpeg")
        .args("-v error -f lavfi -i testsrc2=s=320x180:r=25 -f lavfi -i sine=r=48000 -t 20 -g 50 -c:a aac".split(' '))
        .arg(&source)
        .status()
        .unwrap();
    assert!(made.success());
    let url = "/client/records/cam.mp4";
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let answer = served.get(&format!("{url}?start=5&end=9.5"), &[]);
                assert_eq!(answer.status, 200);
                assert_eq!(
                    answer.header("content-disposition"),
                    Some("inline; filename=\"cam-5-9.5.mp4\"")
                );
            });
        }
    });
    let (first, path) = clip(&served, url, "start=5&end=9.5");
    assert!((ffprobe_seconds(&path) - 4.5).abs() < 0.1, "{}", ffprobe_seconds(&path));
    assert_eq!(
        first.body,
        std::fs::read(served.records().join("cam-5-9.5.mp4")).unwrap()
    );
    let (second, _) = clip(&served, url, "start=5&end=9.5");
    assert_eq!(first.header("etag"), second.header("etag"), "the same file");
    let range = served.get(&format!("{url}?start=5&end=9.5"), &[("Range", "bytes=10-19")]);
    assert_eq!((range.status, &range.body[..]), (206, &first.body[10..20]));
    let listed = served.get("/client/records/", &[]).json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "clips are no recordings: {listed}");
    for (query, status, field) in [
        ("start=x", 400, "start"),
        ("start=5&end=x", 400, "end"),
        ("start=5&end=5", 400, "end"),
        ("start=9&end=3", 400, "end"),
        ("start=20.5", 416, "start"),
        ("start=1&exact=perhaps", 400, "exact"),
        ("start=1&download=perhaps", 400, "download"),
    ] {
        let answer = served.get(&format!("{url}?{query}"), &[]);
        assert_eq!(
            answer.error(),
            (status, "invalid_argument".to_owned(), field.to_owned()),
            "{query}"
        );
    }
    let tail = clip(&served, url, "start=15").1;
    assert!((ffprobe_seconds(&tail) - 5.0).abs() < 0.1);
}

#[test]
fn clips_are_bounded_together_and_the_one_that_was_unused_longest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::with(RestOptions {
        record_fragments_dir: Some(folder.path().to_owned()),
        record_fragments_max_size: 400_000,
        ..RestOptions::default()
    });
    let made = Command::new("ffmpeg")
        .args("-v error -f lavfi -i testsrc2=s=320x180:r=25 -t 20 -g 25 -b:v 600k".split(' '))
        .arg(served.records().join("cam.mp4"))
        .status()
        .unwrap();
    assert!(made.success());
    for start in [0, 3, 6, 9, 0, 12] {
        let path = format!("/client/records/cam.mp4?start={start}&end={}", start + 2);
        assert_eq!(served.get(&path, &[]).status, 200);
    }
    let kept: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_str().unwrap().ends_with(".mp4"))
        .collect();
    let bytes: u64 = kept.iter().map(|entry| entry.metadata().unwrap().len()).sum();
    assert!(bytes <= 400_000, "{bytes}");
    assert!(kept.iter().any(|entry| entry.file_name() == "cam-12-14.mp4"));
    assert!(served.records().join("cam.mp4").exists());
    assert_eq!(served.get("/client/records/cam.mp4?start=0", &[]).error().0, 413);
}
