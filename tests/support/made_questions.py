"""Questions in the shape of VisionReward_video_qa.txt, made up: its own words are not ours to ship."""

WORDS = [f"Does the video show what [[prompt]] asks for, point {number}?" for number in range(1, 5)]
WORDS += [f"Is the video without fault number {number}?" for number in range(5, 65)]
