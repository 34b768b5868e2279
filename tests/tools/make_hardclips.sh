#!/usr/bin/env bash
# Makes the "hard clips", one for each hazard.  Usage: make_hardclips.sh OUTDIR
# Needs ffmpeg (tested: 5.1.9 and 9.0.2; with libx264, libx265, libvpx, libaom, libopus and libmp3lame)
# and python3 (standard library only).
# Everything is synthetic (testsrc2 / sine): no third-party media, no licence questions.
set -euo pipefail
OUT="${1:?usage: make_hardclips.sh OUTDIR}"; mkdir -p "$OUT"; cd "$OUT"
T="$(mktemp -d)"; trap 'rm -rf "$T"' EXIT
BX=(-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -threads 1)
ff()  { ffmpeg -nostdin -hide_banner -loglevel error -y "$@"; }
# V size rate dur  -> lavfi video source;  A freq dur -> lavfi audio source
V() { echo "testsrc2=s=$1:r=$2:d=$3"; }
A() { echo "sine=f=$1:r=48000:d=$2"; }
X264=(-c:v libx264 -preset veryfast -crf 23 -pix_fmt yuv420p)
# -fps_mode came with FFmpeg 5.1, and 9 has no -vsync any more; no grep -q: it would break the pipe
VFR=(-fps_mode vfr); ffmpeg -hide_banner -h long 2>/dev/null | grep -e -fps_mode >/dev/null || VFR=(-vsync vfr)

# patch the tkhd matrix of the first video track: rot/flip without needing ffmpeg>=6 -display_rotation
cat > "$T/patch.py" <<'PY'
import sys, struct
src, dst, a, b, c, d = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7])
buf = bytearray(open(src, 'rb').read())
i = buf.find(b'tkhd')
assert i > 0
ver = buf[i+4]
m = i + 4 + 4 + (32 if ver else 20) + 8 + 8          # flags, times/id/dur, reserved, layer/group/volume
F = 1 << 16
struct.pack_into('>9i', buf, m, a*F, b*F, 0, c*F, d*F, 0, 0, 0, 1 << 30)
open(dst, 'wb').write(buf)
PY
patch() { python3 "$T/patch.py" "$@"; }

### 1. time -------------------------------------------------------------------------------------------------
ff -f lavfi -i "$(V 320x240 30 3)" -vf "select='not(mod(n,2))+lt(mod(n,11),4)'" "${VFR[@]}" "${X264[@]}" "${BX[@]}" time_vfr.mp4
ff -f lavfi -i "$(V 320x240 30 3)" -vf "select='not(mod(n,2))+lt(mod(n,11),4)'" "${VFR[@]}" "${X264[@]}" "${BX[@]}" time_vfr.mkv
# VFR with a long hole (a phone / screen recording): 0..0.5s then 2.5s
ff -f lavfi -i "$(V 320x240 30 3)" -vf "select='lt(t,0.5)+gt(t,2.5)'" "${VFR[@]}" "${X264[@]}" "${BX[@]}" time_vfr_gap.mp4
ff -f lavfi -i "$(V 320x240 30000/1001 2)" -f lavfi -i "$(A 440 2)" "${X264[@]}" -c:a aac -shortest "${BX[@]}" time_ntsc2997.mp4
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" "${X264[@]}" -c:a aac -output_ts_offset 5.3 "${BX[@]}" time_start_offset.mp4
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" "${X264[@]}" -c:a aac -output_ts_offset 5.3 "${BX[@]}" time_start_offset.mkv
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" "${X264[@]}" -c:a aac -output_ts_offset 95441.6 "${BX[@]}" time_pts_wrap33.ts   # 1.4 s come on top: wraps at 2^33/90k = 95443.717 s
# edit list that hides a pre-roll: stream-copy cut inside a GOP
ff -f lavfi -i "$(V 320x240 25 3)" -f lavfi -i "$(A 440 3)" "${X264[@]}" -g 75 -bf 2 -c:a aac "${BX[@]}" "$T/gop.mp4"
ff -ss 1.03 -i "$T/gop.mp4" -c copy "${BX[@]}" time_editlist_preroll.mp4
# audio starts 0.6 s after video / video starts 0.6 s after audio
ff -f lavfi -i "$(V 320x240 25 2)" -itsoffset 0.6 -f lavfi -i "$(A 440 1.4)" "${X264[@]}" -c:a aac "${BX[@]}" time_audio_late.mp4
ff -itsoffset 0.6 -f lavfi -i "$(V 320x240 25 1.4)" -f lavfi -i "$(A 440 2)" "${X264[@]}" -c:a aac -map 0 -map 1 "${VFR[@]}" "${BX[@]}" time_video_late.mp4
ff -f lavfi -i "$(V 320x240 25 2)" "${X264[@]}" -bf 3 -x264-params b-adapt=0:b-pyramid=normal "${BX[@]}" time_bframes.mp4
# the last frame is shown for 0.88 s (slide shows, screen recordings)
ff -f lavfi -i "$(V 320x240 25 1)" "${X264[@]}" -bf 0 "${BX[@]}" "$T/l.mp4"
ff -i "$T/l.mp4" -c copy -bsf:v 'setts=duration=if(eq(N\,24)\,12800\,DURATION)' "${BX[@]}" time_long_last_frame.mp4
# no container timestamps: AVI + B-frames (pts unknown), and a raw annex-b stream
ff -f lavfi -i "$(V 320x240 25 2)" -c:v mpeg4 -q:v 5 -bf 2 "${BX[@]}" time_nopts_bframes.avi
ff -f lavfi -i "$(V 320x240 25 2)" "${X264[@]}" -bf 2 "${BX[@]}" -f h264 time_nopts_raw.h264
# duplicate PTS (pairs of frames with the same timestamp), 1 ms matroska clock
ff -f lavfi -i "$(V 320x240 25 2)" "${X264[@]}" -bf 0 "${BX[@]}" "$T/nob.mkv"
ff -i "$T/nob.mkv" -c copy -bsf:v "setts=ts=floor(N/2)*80" "${BX[@]}" time_duplicate_pts.mkv
# starts in the middle of a GOP (RTSP join / cut archive): drop the first I frame's TS packets
ff -f lavfi -i "$(V 320x240 25 3)" "${X264[@]}" -g 25 -bf 2 "${BX[@]}" -f mpegts "$T/full.ts"
tail -c +40000 "$T/full.ts" > time_starts_midgop.ts
ff -f lavfi -i "$(V 320x240 25 3)" "${X264[@]}" -g 9999 -keyint_min 9999 -sc_threshold 0 "${BX[@]}" time_long_gop.mp4
ff -f lavfi -i "$(V 320x240 25 0.04)" "${X264[@]}" "${BX[@]}" time_single_frame.mp4
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" "${X264[@]}" -g 12 -c:a aac -movflags frag_keyframe+empty_moov+default_base_moof "${BX[@]}" time_fragmented.mp4
ff -f lavfi -i "$(V 320x240 120 1)" "${X264[@]}" "${BX[@]}" time_120fps.mp4
ff -f lavfi -i "$(V 320x240 24000/1001 2)" -vf "telecine=pattern=23" -c:v mpeg2video -pix_fmt yuv420p -q:v 4 "${BX[@]}" -flags:v +bitexact+ilme+ildct time_telecine.ts

### 2. side streams / metadata ---------------------------------------------------------------------------
cat > "$T/a.srt" <<'S'
1
00:00:00,200 --> 00:00:00,900
Hello <i>world</i>

2
00:00:01,000 --> 00:00:01,800
Grüße, 世界
S
cat > "$T/meta.txt" <<'S'
;FFMETADATA1
title=Hard clip
artist=vidfacedeblur tests
comment=ünïcode ✓
[CHAPTER]
TIMEBASE=1/1000
START=0
END=800
title=Intro
[CHAPTER]
TIMEBASE=1/1000
START=800
END=2000
title=Déjà vu
S
ff -f lavfi -i "color=red:s=64x64:d=1" -frames:v 1 "$T/cover.jpg"
printf 'not really a font' > "$T/font.ttf"
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" -f lavfi -i "$(A 880 2)" -i "$T/a.srt" -i "$T/a.srt" -i "$T/meta.txt" -i "$T/cover.jpg" \
   -map 0 -map 1 -map 2 -map 3 -map 4 -map 6 -map_metadata 5 -map_chapters 5 "${X264[@]}" -c:v:1 copy -c:a aac -b:a 64k -c:s mov_text \
   -metadata:s:a:0 language=eng -metadata:s:a:1 language=fra -metadata:s:s:0 language=eng -metadata:s:s:1 language=deu \
   -metadata:s:v:0 language=eng -metadata:s:a:1 handler_name=Commentary -disposition:a:1 comment -disposition:v:1 attached_pic \
   -metadata creation_time=2024-02-29T12:34:56Z -metadata "location=+48.8577+002.2950/" "${BX[@]}" -fflags -bitexact streams_everything.mp4
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" -f lavfi -i "$(A 880 2)" -i "$T/a.srt" -i "$T/a.srt" -i "$T/meta.txt" \
   -map 0 -map 1 -map 2 -map 1 -map 2 -map 3 -map 4 -map_metadata 5 -map_chapters 5 "${X264[@]}" \
   -c:a:0 aac -c:a:1 libopus -c:a:2 pcm_s16le -c:a:3 flac -c:s:0 srt -c:s:1 ass \
   -metadata:s:a:0 language=eng -metadata:s:a:1 language=fra -metadata:s:a:2 language=jpn -metadata:s:a:3 language=und -metadata:s:a:3 title=Lossless \
   -metadata:s:s:0 language=eng -metadata:s:s:1 language=deu -disposition:s:1 forced -attach "$T/font.ttf" -metadata:s:t mimetype=application/x-truetype-font \
   -metadata creation_time=2024-02-29T12:34:56Z "${BX[@]}" streams_everything.mkv
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" "${X264[@]}" -c:a pcm_s16le -timecode 01:00:00:00 -metadata "location=+48.8577+002.2950/" \
   -metadata "com.apple.quicktime.model=TestPhone" -metadata creation_time=2024-02-29T12:34:56Z -movflags use_metadata_tags "${BX[@]}" -fflags -bitexact streams_tmcd_gps_pcm.mov
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 200k -c:a libopus "${BX[@]}" streams_vp9_opus.webm
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(V 160x120 25 2)" -map 0 -map 1 "${X264[@]}" "${BX[@]}" streams_two_videos.mp4
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" "${X264[@]}" -c:a mp2 -f mpegts "${BX[@]}" streams_mp2.ts
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2.5)" -c:v mpeg4 -q:v 5 -c:a libmp3lame "${BX[@]}" streams_mp3.avi
ff -f lavfi -i "$(A 440 2)" -c:a aac "${BX[@]}" streams_audio_only.m4a
ff -f lavfi -i "$(A 440 2)" -i "$T/cover.jpg" -map 0 -map 1 -c:a aac -c:v copy -disposition:v attached_pic "${BX[@]}" streams_audio_with_cover.m4a

### 3. geometry ----------------------------------------------------------------------------------------------
ff -f lavfi -i "$(V 320x180 25 1)" -f lavfi -i "$(A 440 1)" "${X264[@]}" -c:a aac "${BX[@]}" "$T/rot0.mp4"
patch "$T/rot0.mp4" geom_rot90.mp4   0  1 -1  0
patch "$T/rot0.mp4" geom_rot180.mp4 -1  0  0 -1
patch "$T/rot0.mp4" geom_rot270.mp4  0 -1  1  0
patch "$T/rot0.mp4" geom_hflip.mp4  -1  0  0  1
ff -f lavfi -i "$(V 352x288 25 1)" -vf setsar=12/11 "${X264[@]}" "${BX[@]}" geom_sar_12_11.mp4
ff -f lavfi -i "$(V 352x288 25 1)" -vf setsar=16/11 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 200k "${BX[@]}" geom_sar_16_11.mkv
ff -f lavfi -i "$(V 351x287 25 1)" -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 300k -pix_fmt yuv420p "${BX[@]}" geom_odd_420.webm
ff -f lavfi -i "$(V 351x287 25 1)" -c:v libx264 -preset veryfast -pix_fmt yuv444p "${BX[@]}" geom_odd_444.mp4
ff -f lavfi -i "$(V 351x287 25 1)" -c:v ffv1 -pix_fmt yuv420p "${BX[@]}" -t 0.4 geom_odd_ffv1.mkv
ff -f lavfi -i "$(V 320x240 25 1)" "${X264[@]}" -f mpegts "${BX[@]}" "$T/r1.ts"
ff -f lavfi -i "$(V 480x360 25 1)" "${X264[@]}" -output_ts_offset 1.2 -f mpegts "${BX[@]}" "$T/r2.ts"
cat "$T/r1.ts" "$T/r2.ts" > geom_reschange.ts
ff -f lavfi -i "$(V 16x16 25 0.4)" "${X264[@]}" "${BX[@]}" geom_tiny_16x16.mp4
ff -f lavfi -i "$(V 720x576 50 1)" -vf "tinterlace=interleave_top,setfield=tff" "${X264[@]}" -x264-params tff=1 "${BX[@]}" -flags:v +bitexact+ilme+ildct geom_interlaced_tff.mp4
ff -f lavfi -i "$(V 720x576 50 1)" -vf "tinterlace=interleave_bottom,setfield=bff" -c:v mpeg2video -pix_fmt yuv420p -q:v 5 "${BX[@]}" -flags:v +bitexact+ilme+ildct geom_interlaced_bff.ts

### 4. pixels / colour ---------------------------------------------------------------------------------------
COL() { # name pix_fmt matrix primaries trc range size [extra]
  local n=$1 pf=$2 m=$3 p=$4 t=$5 r=$6 s=$7; shift 7
  ff -f lavfi -i "$(V "$s" 25 0.6)" -vf "scale=out_color_matrix=$m:out_range=$r,format=$pf,setparams=colorspace=$m:color_primaries=$p:color_trc=$t:range=$r" \
     -c:v libx264 -preset veryfast -crf 18 -colorspace "$m" -color_primaries "$p" -color_trc "$t" -color_range "$r" "$@" "${BX[@]}" "$n"; }
COL col_420_bt601_pal.mp4   yuv420p     bt470bg   bt470bg   smpte170m tv 352x288
COL col_420_bt601_ntsc.mp4  yuv420p     smpte170m smpte170m smpte170m tv 352x240
COL col_420_bt709.mp4       yuv420p     bt709     bt709     bt709     tv 640x360
COL col_420_full_bt709.mp4  yuv420p     bt709     bt709     bt709     pc 640x360
COL col_422_bt709.mp4       yuv422p     bt709     bt709     bt709     tv 640x360
COL col_444_bt709.mp4       yuv444p     bt709     bt709     bt709     tv 640x360
COL col_420p10_bt709.mp4    yuv420p10le bt709     bt709     bt709     tv 640x360
COL col_422p10_bt2020hlg.mp4 yuv422p10le bt2020nc bt2020 arib-std-b67 tv 640x360
ff -f lavfi -i "$(V 1280x720 25 0.4)" -c:v libx264 -preset veryfast -pix_fmt yuv420p "${BX[@]}" col_hd_untagged.mp4
ff -f lavfi -i "$(V 640x360 25 0.6)" -vf "scale=out_color_matrix=bt2020nc,format=yuv420p10le,setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv" \
   -c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params "log-level=error:hdr10=1:repeat-headers=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400" \
   -colorspace bt2020nc -color_primaries bt2020 -color_trc smpte2084 -color_range tv "${BX[@]}" col_hdr10_pq_hevc.mp4
ff -f lavfi -i "$(V 320x240 25 0.6)" -c:v mjpeg -q:v 4 -pix_fmt yuvj420p "${BX[@]}" col_mjpeg_yuvj420p.mov
ff -f lavfi -i "$(V 320x240 25 0.4)" -c:v libx264rgb -preset veryfast -crf 18 "${BX[@]}" col_h264_gbrp.mp4
ff -f lavfi -i "$(V 320x240 25 0.4)" -vf format=gray -c:v libx264 -preset veryfast -pix_fmt gray "${BX[@]}" col_gray.mp4
AL="format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*X/W'"
ff -f lavfi -i "$(V 160x120 25 0.3)" -vf "$AL" -c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le -qscale:v 20 "${BX[@]}" col_alpha_prores4444.mov
ff -f lavfi -i "$(V 160x120 25 0.3)" -vf "$AL" -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 200k -auto-alt-ref 0 -pix_fmt yuva420p "${BX[@]}" col_alpha_vp9.webm
ff -f lavfi -i "$(V 160x120 10 1)" "${BX[@]}" col_palette.gif
ff -f lavfi -i "$(V 160x120 10 0.5)" -f apng -plays 0 "${BX[@]}" col_apng.apng

### 5. codecs x containers -----------------------------------------------------------------------------------
ff -f lavfi -i "$(V 320x240 25 1)" -c:v libx265 -preset ultrafast -x265-params log-level=error -tag:v hvc1 -pix_fmt yuv420p "${BX[@]}" codec_hevc.mp4
ff -f lavfi -i "$(V 320x240 25 1)" -c:v libaom-av1 -cpu-used 8 -usage realtime -b:v 200k "${BX[@]}" codec_av1.mp4
ff -f lavfi -i "$(V 320x240 25 1)" -c:v libvpx -deadline realtime -b:v 200k "${BX[@]}" codec_vp8.webm
ff -f lavfi -i "$(V 320x240 25 0.4)" -c:v prores_ks -profile:v 0 "${BX[@]}" codec_prores422.mov
ff -f lavfi -i "$(V 320x240 25 0.4)" -c:v ffv1 -level 3 -pix_fmt yuv420p "${BX[@]}" codec_ffv1.mkv
ff -f lavfi -i "$(V 320x240 25 1)" -c:v mjpeg -pix_fmt yuvj420p -q:v 5 "${BX[@]}" codec_mjpeg.avi
ff -f lavfi -i "$(V 320x240 25 1)" "${X264[@]}" "${BX[@]}" -f flv codec_h264.flv
ff -f lavfi -i "$(V 320x240 25 1)" -c:v mpeg2video -pix_fmt yuv420p -q:v 5 "${BX[@]}" codec_mpeg2.mpg

### 6. damaged / not video -----------------------------------------------------------------------------------
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" "${X264[@]}" -g 25 -c:a aac "${BX[@]}" "$T/ok.mp4"
ff -f lavfi -i "$(V 320x240 25 2)" -f lavfi -i "$(A 440 2)" "${X264[@]}" -g 25 -c:a aac -f mpegts "${BX[@]}" "$T/ok.ts"
ff -i "$T/ok.mp4" -c copy "${BX[@]}" "$T/ok.mkv"
ff -i "$T/ok.mp4" -c copy -movflags +faststart "${BX[@]}" "$T/okfs.mp4"
cut() { head -c $(( $(stat -c %s "$1") * $3 / 100 )) "$1" > "$2"; }
cut "$T/ok.mp4" bad_truncated_nomoov.mp4 60
cut "$T/okfs.mp4" bad_truncated_faststart.mp4 60
cut "$T/ok.mkv" bad_truncated.mkv 60
cut "$T/ok.ts"  bad_truncated.ts 60
python3 - "$T/okfs.mp4" bad_corrupt_middle.mp4 "$T/ok.ts" bad_corrupt_middle.ts <<'PY'
import sys, random
for s, d in zip(sys.argv[1::2], sys.argv[2::2]):
    b = bytearray(open(s, 'rb').read()); r = random.Random(7); n = len(b)
    for _ in range(60):
        b[r.randrange(n*45//100, n*65//100)] = r.randrange(256)
    open(d, 'wb').write(b)
PY
: > bad_zero_bytes.mp4
printf 'this is not a video\n%.0s' {1..200} > bad_text.mp4
head -c 65536 /dev/zero > bad_nulls.mp4

### 7. hostile (inert here: they only point at /etc/hostname and 127.0.0.1:9) ---------------------------------
printf '#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n' > evil_hls_localfile.mp4
printf '#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\nhttp://127.0.0.1:9/ssrf.ts\n#EXT-X-ENDLIST\n' > evil_hls_ssrf.mp4
printf "ffconcat version 1.0\nfile /etc/hostname\n" > evil_concat.mp4
printf "ffconcat version 1.0\nfile '%s'\n" time_bframes.mp4 > evil_concat_video.mp4      # reads ANOTHER user's video
printf 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n' > evil_sdp.mp4
ff -f lavfi -i "color=black:s=16000x16000:r=1:d=1" -pix_fmt monob -c:v png -frames:v 1 "${BX[@]}" evil_bomb_16000x16000.mkv
ls | wc -l; du -sh .
