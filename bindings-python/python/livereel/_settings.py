"""Gets settings as Python values.

Gives them as the text that the engine reads, and their names to type checkers.
"""

import os
from typing import TypedDict, Union

SettingValue = Union[bool, int, float, str, "os.PathLike[str]", None]
"""What a setting may be given as; None means not given."""


class Settings(TypedDict, total=False):
    """Every key of the settings list, in its order. Web Call Server's own names are taken too."""

    record_streams: SettingValue
    record_rtmp_streams: SettingValue
    record_rtsp_streams: SettingValue
    record_webrtc_streams: SettingValue
    record_pushed_streams: SettingValue
    record_formats: SettingValue
    stream_record_policy_template: SettingValue
    encode_record_name: SettingValue
    exclude_record_name_characters: SettingValue
    record_rotation: SettingValue
    record_rotation_index_enabled: SettingValue
    record_audio_buffer_max_size: SettingValue
    record_dir: SettingValue
    record_tmp_dir: SettingValue
    record_fragments_dir: SettingValue
    on_record_hook_script: SettingValue
    on_record_hook_timeout: SettingValue
    on_record_hook_max_running: SettingValue
    record_audio_codec_sample_rate: SettingValue
    record_audio_codec_channels: SettingValue
    record_fdk_aac_bitrate_mode: SettingValue
    mp4_audio_codec: SettingValue
    webm_audio_codec: SettingValue
    mp4_container_moov_first: SettingValue
    mp4_container_moov_first_reserve_space: SettingValue
    mp4_container_moov_reserved_space_size: SettingValue
    record_threads: SettingValue
    webm_cluster_max_duration: SettingValue
    webm_cluster_max_size: SettingValue
    webm_java_writer_enable: SettingValue
    record_stop_timeout: SettingValue
    record_response_content_disposition_header_value: SettingValue
    record_sync_interval: SettingValue
    record_min_free_space: SettingValue
    record_retention_max_age: SettingValue
    record_retention_max_size: SettingValue
    record_retention_min_free_space: SettingValue
    record_preroll: SettingValue
    record_on_format_change: SettingValue
    record_reconnect_window: SettingValue
    publish_duplicate_name: SettingValue
    record_file_sha256: SettingValue
    rtmp_listen: SettingValue
    http_listen: SettingValue
    https_listen: SettingValue
    tls_cert: SettingValue
    tls_key: SettingValue
    webrtc_udp_ports: SettingValue
    webrtc_public_ips: SettingValue
    webrtc_ice_servers: SettingValue
    webrtc_jitter_max_delay: SettingValue
    webrtc_broken_frames: SettingValue
    allow_unauthenticated: SettingValue
    publish_token: SettingValue
    rest_token: SettingValue
    download_token: SettingValue
    cors_allowed_origins: SettingValue
    pull_allowed_hosts: SettingValue
    rtsp_transport: SettingValue
    pull_idle_timeout: SettingValue
    pull_retry_max_delay: SettingValue
    http_max_connections: SettingValue
    event_webhook_url: SettingValue
    event_webhook_secret: SettingValue
    event_webhook_ca: SettingValue
    event_webhook_timeout: SettingValue
    clip_whole_file: SettingValue
    record_fragments_max_size: SettingValue


def setting_text(key: str, value: object) -> str:
    """The text of one setting. What it means is for the engine to judge.

    :raises TypeError: for a type that has no text of its own.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        if isinstance(text, str):
            return text
    raise TypeError(f"setting {key}: expected bool, int, float, str or a path, not {type(value).__name__}")
