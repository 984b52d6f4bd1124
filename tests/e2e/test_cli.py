"""The command line of livereel-server: help, wrong settings, settings files, sockets in use."""

import subprocess

import media
import publishers
import sources
from server import BINARY

#: The settings of the specification, section 3.
SETTINGS = """
record_streams record_rtmp_streams record_rtsp_streams record_webrtc_streams record_pushed_streams record_formats
stream_record_policy_template encode_record_name exclude_record_name_characters record_rotation
record_rotation_index_enabled record_audio_buffer_max_size record_dir record_tmp_dir record_fragments_dir
on_record_hook_script record_audio_codec_sample_rate record_audio_codec_channels record_fdk_aac_bitrate_mode
mp4_container_moov_first mp4_container_moov_first_reserve_space mp4_container_moov_reserved_space_size
record_threads webm_cluster_max_duration webm_cluster_max_size webm_java_writer_enable record_stop_timeout
record_response_content_disposition_header_value record_sync_interval rtmp_listen http_listen https_listen tls_cert
tls_key webrtc_udp_ports webrtc_public_ips webrtc_ice_servers webrtc_jitter_max_delay webrtc_broken_frames
""".split()


def run(*arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=30)


def test_help_lists_every_setting():
    done = run("--help")
    assert done.returncode == 0
    missing = [key for key in SETTINGS if "--" + key.replace("_", "-") not in done.stdout]
    assert not missing
    assert "--config" in done.stdout


def test_all_wrong_settings_are_named_at_once(tmp_path):
    done = run(
        *("--record-dir", tmp_path, "--rtmp-listen", "nowhere"),
        *("--record-rotation", "often", "--record-threads", "-1", "--stream-record-policy-template", "{nonsense}"),
    )
    assert done.returncode == 2 and done.stdout == ""
    for word in ("rtmp_listen", "nowhere", "record_rotation", "often", "record_threads", "-1", "{nonsense}"):
        assert word in done.stderr, f"{word} is not in: {done.stderr}"


def test_an_unknown_flag_is_refused():
    done = run("--no-such-flag")
    assert done.returncode == 2 and "--no-such-flag" in done.stderr


def test_wrong_lines_of_a_settings_file_are_named_by_number(tmp_path):
    config = tmp_path / "server.properties"
    config.write_text("# a settings file\nrecord_rotation=often\nrecord_threads=many\n")
    done = run("--config", config)
    assert done.returncode == 2
    for word in ("record_rotation", "record_threads", "server.properties:2", "server.properties:3"):
        assert word in done.stderr, done.stderr


def test_a_settings_file_is_read_and_flags_win(serve, tmp_path):
    config = tmp_path / "server.toml"
    config.write_text('record_formats = "h264-ts"\nstream_record_policy_template = "file-{streamName}"\n')
    server = serve(config=config, stream_record_policy_template="flag-{streamName}")
    publishers.run(publishers.load(sources.short_flv(), server.url(), speed=0))
    _, path = server.finished("load-0")
    assert path.name == "flag-load-0.ts"
    media.assert_good(path)
    server.stop()


def test_a_port_in_use_is_told(serve, tmp_path):
    server = serve()
    done = run("--rtmp-listen", server.address, "--record-dir", tmp_path / "other")
    assert done.returncode not in (0, 2) and server.address in done.stderr
    server.stop()
